"""Devices that were heard."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "heard_device",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("first_seen_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("observed_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("firmware", sa.String(), nullable=False),
        sa.Column("is_online", sa.Boolean(), nullable=False),
        sa.Column("presence_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("presence_reason", sa.String(), nullable=False),
        sa.Column("silent_after_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heard_device")),
    )
    with op.batch_alter_table("heard_device", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_heard_device_site_id"), ["site_id"], unique=False)

    op.create_table(
        "refused_count",
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("batch_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("reason", name=op.f("pk_refused_count")),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("state", sa.String(), nullable=False, server_default="waiting")
        )
        batch_op.add_column(sa.Column("outcome", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("tried_at", store.UtcDateTime(timezone=True), nullable=True))
        batch_op.alter_column(
            "batch_seq", existing_type=sa.INTEGER(), type_=sa.BigInteger(), existing_nullable=False
        )
        batch_op.create_index(batch_op.f("ix_quarantine_state"), ["state"], unique=False)


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_quarantine_state"))
        batch_op.alter_column(
            "batch_seq", existing_type=sa.BigInteger(), type_=sa.INTEGER(), existing_nullable=False
        )
        batch_op.drop_column("tried_at")
        batch_op.drop_column("outcome")
        batch_op.drop_column("state")

    op.drop_table("refused_count")
    with op.batch_alter_table("heard_device", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_heard_device_site_id"))

    op.drop_table("heard_device")
