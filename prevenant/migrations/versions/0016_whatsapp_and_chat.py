"""Where contacts can be written to by WhatsApp and by chat."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.add_column(sa.Column("whatsapp", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("chat", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.drop_column("chat")
        batch_op.drop_column("whatsapp")
