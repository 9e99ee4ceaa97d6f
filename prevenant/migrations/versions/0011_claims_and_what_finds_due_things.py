"""Claims and what finds due things."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("case_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_case_event_retry",
            ["retry_at"],
            unique=False,
            sqlite_where=sa.text("heard_at IS NULL AND retry_at IS NOT NULL"),
            postgresql_where=sa.text("heard_at IS NULL AND retry_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_case_event_unheard_alarm",
            ["alarm_id"],
            unique=False,
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )
        batch_op.create_index(
            "ix_case_event_unheard_case",
            ["case_id"],
            unique=False,
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )

    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.create_index(
            "ix_case_file_severity_due",
            ["severity", "due_at"],
            unique=False,
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("claimed_by", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("claim", sa.Integer(), nullable=False, server_default="0"))
        batch_op.create_index(
            "ix_delivery_claimed",
            ["claimed_by"],
            unique=False,
            sqlite_where=sa.text("claimed_by <> ''"),
            postgresql_where=sa.text("claimed_by <> ''"),
        )

    with op.batch_alter_table("shelf", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shelf_ends_at"), ["ends_at"], unique=False)


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("shelf", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shelf_ends_at"))

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_claimed",
            sqlite_where=sa.text("claimed_by <> ''"),
            postgresql_where=sa.text("claimed_by <> ''"),
        )
        batch_op.drop_column("claim")
        batch_op.drop_column("claimed_by")

    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_case_file_severity_due",
            sqlite_where=sa.text("due_at IS NOT NULL"),
            postgresql_where=sa.text("due_at IS NOT NULL"),
        )

    with op.batch_alter_table("case_event", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_case_event_unheard_case",
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_case_event_unheard_alarm",
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_case_event_retry",
            sqlite_where=sa.text("heard_at IS NULL AND retry_at IS NOT NULL"),
            postgresql_where=sa.text("heard_at IS NULL AND retry_at IS NOT NULL"),
        )
