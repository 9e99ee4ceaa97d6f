"""Whose replies, and surveys."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "survey",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message_key", sa.String(), nullable=False),
        sa.Column("sent_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("answered_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"], ["case_file.id"], name=op.f("fk_survey_case_id_case_file")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey")),
    )
    with op.batch_alter_table("survey", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_survey_case_id"), ["case_id"], unique=False)
        batch_op.create_index("ix_survey_contact_sent", ["contact_id", "sent_at"], unique=False)

    with op.batch_alter_table("reply", schema=None) as batch_op:
        batch_op.add_column(sa.Column("contact_id", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("reason", sa.String(), nullable=False, server_default=""))
        batch_op.create_index(batch_op.f("ix_reply_contact_id"), ["contact_id"], unique=False)


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("reply", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reply_contact_id"))
        batch_op.drop_column("reason")
        batch_op.drop_column("contact_id")

    with op.batch_alter_table("survey", schema=None) as batch_op:
        batch_op.drop_index("ix_survey_contact_sent")
        batch_op.drop_index(batch_op.f("ix_survey_case_id"))

    op.drop_table("survey")
