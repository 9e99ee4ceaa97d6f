"""What steps ask and hand over."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.add_column(sa.Column("survey", sa.String(), nullable=False, server_default=""))

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("answer", sa.JSON(), nullable=False, server_default="{}"))

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("ask_choices", sa.JSON(), nullable=False, server_default="[]")
        )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_column("ask_choices")

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_column("answer")

    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.drop_column("survey")
