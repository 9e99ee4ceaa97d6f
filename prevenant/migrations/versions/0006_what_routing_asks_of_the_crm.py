"""What routing asks of the CRM."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "area",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_area")),
    )
    op.create_table(
        "asset",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("site_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("installed_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.Column("warranty_until", store.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_asset_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset")),
    )
    with op.batch_alter_table("asset", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_asset_site_id"), ["site_id"], unique=False)

    op.create_table(
        "exclusion",
        sa.Column("technician_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customer.id"], name=op.f("fk_exclusion_customer_id")
        ),
        sa.ForeignKeyConstraint(
            ["technician_id"], ["technician.id"], name=op.f("fk_exclusion_technician_id")
        ),
        sa.PrimaryKeyConstraint("technician_id", "customer_id", name=op.f("pk_exclusion")),
    )
    op.create_table(
        "leave",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("technician_id", sa.String(), nullable=False),
        sa.Column("starts_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["technician_id"], ["technician.id"], name=op.f("fk_leave_technician_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leave")),
    )
    with op.batch_alter_table("leave", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_leave_technician_id"), ["technician_id"], unique=False)

    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.add_column(sa.Column("erased_at", store.UtcDateTime(timezone=True), nullable=True))

    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.add_column(sa.Column("asset_id", sa.String(), nullable=True))
        batch_op.create_index(batch_op.f("ix_device_asset_id"), ["asset_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_device_asset_id"), "asset", ["asset_id"], ["id"])

    with op.batch_alter_table("site", schema=None) as batch_op:
        batch_op.add_column(sa.Column("area_id", sa.String(), nullable=True))
        batch_op.create_index(batch_op.f("ix_site_area_id"), ["area_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_site_area_id"), "area", ["area_id"], ["id"])

    with op.batch_alter_table("technician", schema=None) as batch_op:
        batch_op.add_column(sa.Column("holidays", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("areas", sa.JSON(), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("parts", sa.JSON(), nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("position_latitude", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("position_longitude", sa.Float(), nullable=True))
        batch_op.add_column(
            sa.Column("position_at", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(
            sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true())
        )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("technician", schema=None) as batch_op:
        batch_op.drop_column("is_active")
        batch_op.drop_column("position_at")
        batch_op.drop_column("position_longitude")
        batch_op.drop_column("position_latitude")
        batch_op.drop_column("parts")
        batch_op.drop_column("areas")
        batch_op.drop_column("holidays")

    with op.batch_alter_table("site", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_site_area_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_site_area_id"))
        batch_op.drop_column("area_id")

    with op.batch_alter_table("device", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_device_asset_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_device_asset_id"))
        batch_op.drop_column("asset_id")

    with op.batch_alter_table("contact", schema=None) as batch_op:
        batch_op.drop_column("erased_at")

    with op.batch_alter_table("leave", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_leave_technician_id"))

    op.drop_table("leave")
    op.drop_table("exclusion")
    with op.batch_alter_table("asset", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_asset_site_id"))

    op.drop_table("asset")
    op.drop_table("area")
