"""People who stand in on call."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "on_call_override",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("schedule", sa.String(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("starts_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("given_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["contact_id"], ["contact.id"], name=op.f("fk_on_call_override_contact_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_on_call_override")),
    )
    with op.batch_alter_table("on_call_override", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_on_call_override_schedule"), ["schedule"], unique=False
        )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("on_call_override", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_on_call_override_schedule"))

    op.drop_table("on_call_override")
