"""What people say of alarms."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "shelf",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("starts_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shelf")),
    )
    with op.batch_alter_table("alarm", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("latest_onset_at", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(
            sa.Column("acknowledged_at", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(
            sa.Column("acknowledged_by", sa.String(), server_default="", nullable=False)
        )
        batch_op.add_column(sa.Column("held_by", sa.String(), server_default="", nullable=False))
        batch_op.add_column(
            sa.Column("held_until", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(sa.Column("trace", sa.JSON(), server_default="[]", nullable=False))
    with op.batch_alter_table("alarm", schema=None) as batch_op:
        batch_op.alter_column("acknowledged_by", server_default=None)
        batch_op.alter_column("held_by", server_default=None)
        batch_op.alter_column("trace", server_default=None)


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("alarm", schema=None) as batch_op:
        batch_op.drop_column("trace")
        batch_op.drop_column("held_until")
        batch_op.drop_column("held_by")
        batch_op.drop_column("acknowledged_by")
        batch_op.drop_column("acknowledged_at")
        batch_op.drop_column("latest_onset_at")

    op.drop_table("shelf")
