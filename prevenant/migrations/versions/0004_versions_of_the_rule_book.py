"""Versions of the rule book."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "book_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("published_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("main", sa.String(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("in_force_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("from_seq", sa.BigInteger(), nullable=True),
        sa.Column("refused", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_book_version")),
    )
    with op.batch_alter_table("book_version", schema=None) as batch_op:
        batch_op.create_index(
            "ix_book_version_active",
            ["is_active"],
            unique=True,
            sqlite_where=sa.text("is_active"),
            postgresql_where=sa.text("is_active"),
        )
        batch_op.create_index(
            batch_op.f("ix_book_version_fingerprint"), ["fingerprint"], unique=False
        )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("book_version", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_book_version_fingerprint"))
        batch_op.drop_index(
            "ix_book_version_active",
            sqlite_where=sa.text("is_active"),
            postgresql_where=sa.text("is_active"),
        )

    op.drop_table("book_version")
