"""One reader of an outside CRM at a time, and with what mapping it was read."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "crm_lease",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", store.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_crm_lease")),
    )
    with op.batch_alter_table("crm_sync", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mapping", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("crm_sync", schema=None) as batch_op:
        batch_op.drop_column("mapping")

    op.drop_table("crm_lease")
