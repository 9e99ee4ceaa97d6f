"""People and where they come from."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "consent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("proof", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
    )
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.create_index("ix_consent_contact_channel", ["contact_id", "channel"], unique=False)

    op.create_table(
        "crm_record",
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("removed_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("entity", "record_id", name=op.f("pk_crm_record")),
    )
    with op.batch_alter_table("crm_record", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_crm_record_source"), ["source"], unique=False)

    op.create_table(
        "crm_skipped",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("at", store.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "entity", "record_id", name=op.f("pk_crm_skipped")),
    )
    op.create_table(
        "crm_sync",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("cursor", sa.String(), nullable=False),
        sa.Column("synced_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("failed_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("source", "entity", name=op.f("pk_crm_sync")),
    )
    op.create_table(
        "erasure",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("erased_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erasure")),
    )
    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("quiet_hours", sa.String(), nullable=False, server_default="")
        )
        batch_op.add_column(
            sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true())
        )

    with op.batch_alter_table("leave", schema=None) as batch_op:
        batch_op.add_column(sa.Column("key", sa.String(), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_leave_key"), ["key"])


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("leave", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_leave_key"), type_="unique")
        batch_op.drop_column("key")

    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.drop_column("is_active")
        batch_op.drop_column("quiet_hours")

    op.drop_table("erasure")
    op.drop_table("crm_sync")
    op.drop_table("crm_skipped")
    with op.batch_alter_table("crm_record", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_crm_record_source"))

    op.drop_table("crm_record")
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.drop_index("ix_consent_contact_channel")

    op.drop_table("consent")
