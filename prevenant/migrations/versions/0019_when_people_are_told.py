"""When people are told, and until when receipts are waited for."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("deferred", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("deferred_until", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(sa.Column("digest_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("poll_at", store.UtcDateTime(timezone=True), nullable=True))
        batch_op.create_index(
            "ix_delivery_digest",
            ["digest_id"],
            unique=False,
            sqlite_where=sa.text("digest_id IS NOT NULL"),
            postgresql_where=sa.text("digest_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_delivery_next",
            ["next_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('queued', 'sending', 'uncertain')"),
            postgresql_where=sa.text("state IN ('queued', 'sending', 'uncertain')"),
        )
        batch_op.create_index(
            "ix_delivery_poll",
            ["poll_at"],
            unique=False,
            sqlite_where=sa.text("poll_at IS NOT NULL"),
            postgresql_where=sa.text("poll_at IS NOT NULL"),
        )

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("timezone", sa.String(), nullable=False, server_default="UTC")
        )
        batch_op.add_column(sa.Column("outdated", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("receipt_within_s", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("reply_within_s", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("tried_at", store.UtcDateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("move_on_at", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.create_index("ix_message_contact", ["contact_id", "created_at"], unique=False)
        batch_op.create_index(
            "ix_message_move_on",
            ["move_on_at"],
            unique=False,
            sqlite_where=sa.text("move_on_at IS NOT NULL"),
            postgresql_where=sa.text("move_on_at IS NOT NULL"),
        )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_message_move_on",
            sqlite_where=sa.text("move_on_at IS NOT NULL"),
            postgresql_where=sa.text("move_on_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_message_contact")
        batch_op.drop_column("move_on_at")
        batch_op.drop_column("tried_at")
        batch_op.drop_column("reply_within_s")
        batch_op.drop_column("receipt_within_s")
        batch_op.drop_column("outdated")
        batch_op.drop_column("timezone")

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_next",
            sqlite_where=sa.text("state IN ('queued', 'sending', 'uncertain')"),
            postgresql_where=sa.text("state IN ('queued', 'sending', 'uncertain')"),
        )
        batch_op.drop_index(
            "ix_delivery_poll",
            sqlite_where=sa.text("poll_at IS NOT NULL"),
            postgresql_where=sa.text("poll_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_delivery_digest",
            sqlite_where=sa.text("digest_id IS NOT NULL"),
            postgresql_where=sa.text("digest_id IS NOT NULL"),
        )
        batch_op.drop_column("poll_at")
        batch_op.drop_column("digest_id")
        batch_op.drop_column("deferred_until")
        batch_op.drop_column("deferred")
