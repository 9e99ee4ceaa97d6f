"""Drafts of rule books."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "book_draft",
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("base", sa.Integer(), nullable=False),
        sa.Column("main", sa.String(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("tests", sa.String(), nullable=False),
        sa.Column("saved_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("by", name=op.f("pk_book_draft")),
    )


def downgrade() -> None:
    """Take the tables back."""
    op.drop_table("book_draft")
