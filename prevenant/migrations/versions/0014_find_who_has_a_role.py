"""Find who has a role."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("role_holder", schema=None) as batch_op:
        batch_op.create_index("ix_role_holder_role", ["role"], unique=False)


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("role_holder", schema=None) as batch_op:
        batch_op.drop_index("ix_role_holder_role")
