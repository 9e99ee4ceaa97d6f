"""What outside programs are told."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "webhook_subscription",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("sites", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("failing_since", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.String(), nullable=False),
        sa.Column("created_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("changed_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_subscription")),
    )
    with op.batch_alter_table("webhook_subscription", schema=None) as batch_op:
        batch_op.create_index("ix_webhook_subscription_state", ["state"], unique=False)

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subscription_id", sa.Integer(), nullable=True))
        batch_op.add_column(
            sa.Column("in_turn", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        batch_op.create_index(
            "ix_delivery_subscription",
            ["subscription_id", "id"],
            unique=False,
            sqlite_where=sa.text("subscription_id IS NOT NULL"),
            postgresql_where=sa.text("subscription_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_delivery_turn",
            ["subscription_id", "id"],
            unique=False,
            sqlite_where=sa.text(
                "subscription_id IS NOT NULL AND state IN ('queued', 'sending', 'uncertain')"
            ),
            postgresql_where=sa.text(
                "subscription_id IS NOT NULL AND state IN ('queued', 'sending', 'uncertain')"
            ),
        )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_turn",
            sqlite_where=sa.text(
                "subscription_id IS NOT NULL AND state IN ('queued', 'sending', 'uncertain')"
            ),
            postgresql_where=sa.text(
                "subscription_id IS NOT NULL AND state IN ('queued', 'sending', 'uncertain')"
            ),
        )
        batch_op.drop_index(
            "ix_delivery_subscription",
            sqlite_where=sa.text("subscription_id IS NOT NULL"),
            postgresql_where=sa.text("subscription_id IS NOT NULL"),
        )
        batch_op.drop_column("in_turn")
        batch_op.drop_column("subscription_id")

    with op.batch_alter_table("webhook_subscription", schema=None) as batch_op:
        batch_op.drop_index("ix_webhook_subscription_state")

    op.drop_table("webhook_subscription")
