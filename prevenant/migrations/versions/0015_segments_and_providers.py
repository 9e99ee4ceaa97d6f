"""What an SMS takes, and which of several providers has it."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("segments", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("encoding", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("provider", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(sa.Column("left_out", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_column("left_out")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_column("provider")
        batch_op.drop_column("encoding")
        batch_op.drop_column("segments")
