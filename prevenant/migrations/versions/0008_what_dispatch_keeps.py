"""What dispatch keeps."""

import sqlalchemy as sa
from alembic import op

from prevenant import store
from prevenant.crm.changes import unwatch_technicians

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "technician_change",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("technician_id", sa.String(), nullable=False),
        sa.Column("xid", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_technician_change")),
    )
    with op.batch_alter_table("technician_change", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_technician_change_technician_id"), ["technician_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_technician_change_xid"), ["xid"], unique=False)

    op.create_table(
        "dispatch_round",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("need", sa.String(), nullable=False),
        sa.Column("eligible", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("ways", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["case_file.id"], name=op.f("fk_dispatch_round_case_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatch_round")),
        sa.UniqueConstraint("case_id", "round", name=op.f("uq_dispatch_round_case_id_round")),
    )
    with op.batch_alter_table("dispatch_round", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dispatch_round_case_id"), ["case_id"], unique=False)

    op.create_table(
        "waiting_job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("need", sa.JSON(), nullable=False),
        sa.Column("excluded", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("since", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("until", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("technician_id", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_waiting_job_case_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waiting_job")),
    )
    with op.batch_alter_table("waiting_job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_waiting_job_case_id"), ["case_id"], unique=False)
        batch_op.create_index(
            "ix_waiting_job_open",
            ["until"],
            unique=False,
            sqlite_where=sa.text("state = 'waiting'"),
            postgresql_where=sa.text("state = 'waiting'"),
        )
        batch_op.create_index(
            "ix_waiting_job_reserved",
            ["technician_id"],
            unique=False,
            sqlite_where=sa.text("state = 'assigned'"),
            postgresql_where=sa.text("state = 'assigned'"),
        )

    with op.batch_alter_table("candidate", schema=None) as batch_op:
        batch_op.add_column(sa.Column("scores", sa.JSON(), server_default="{}", nullable=False))

    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.create_index("ix_offer_latest", ["offered_at"], unique=False)
        batch_op.create_index(
            "ix_offer_standing",
            ["technician_id"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    with op.batch_alter_table("work_order", schema=None) as batch_op:
        batch_op.add_column(sa.Column("step", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("device_id", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("site_id", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("customer_id", sa.String(), nullable=False, server_default="")
        )

    # Jobs of before belong to the step that offered them.
    op.execute(
        "UPDATE work_order SET "
        "step = coalesce((SELECT max(step) FROM offer WHERE offer.case_id = work_order.case_id "
        "AND offer.technician_id = work_order.technician_id AND offer.state = 'accepted'), ''), "
        "device_id = (SELECT device_id FROM case_file WHERE case_file.id = work_order.case_id), "
        "site_id = (SELECT site_id FROM case_file WHERE case_file.id = work_order.case_id)"
    )
    op.execute(
        "UPDATE work_order SET customer_id = coalesce("
        "(SELECT customer_id FROM site WHERE site.id = work_order.site_id), '')"
    )
    with op.batch_alter_table("work_order", schema=None) as batch_op:
        batch_op.create_index(
            "ix_work_order_busy",
            ["technician_id"],
            unique=False,
            sqlite_where=sa.text("state IN ('accepted', 'en_route', 'arrived')"),
            postgresql_where=sa.text("state IN ('accepted', 'en_route', 'arrived')"),
        )
        batch_op.create_index(
            batch_op.f("ix_work_order_customer_id"), ["customer_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_work_order_site_id"), ["site_id"], unique=False)
        batch_op.create_index(
            "uq_work_order_active",
            ["case_id", "step"],
            unique=True,
            sqlite_where=sa.text("state IN ('accepted', 'en_route', 'arrived') AND step <> ''"),
            postgresql_where=sa.text("state IN ('accepted', 'en_route', 'arrived') AND step <> ''"),
        )


def downgrade() -> None:
    """Take the tables back."""
    unwatch_technicians(op.get_bind())
    with op.batch_alter_table("work_order", schema=None) as batch_op:
        batch_op.drop_index("uq_work_order_active")
        batch_op.drop_index(batch_op.f("ix_work_order_site_id"))
        batch_op.drop_index(batch_op.f("ix_work_order_customer_id"))
        batch_op.drop_index("ix_work_order_busy")
        batch_op.drop_column("customer_id")
        batch_op.drop_column("site_id")
        batch_op.drop_column("device_id")
        batch_op.drop_column("step")

    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.drop_index("ix_offer_standing")
        batch_op.drop_index("ix_offer_latest")

    with op.batch_alter_table("candidate", schema=None) as batch_op:
        batch_op.drop_column("scores")

    with op.batch_alter_table("waiting_job", schema=None) as batch_op:
        batch_op.drop_index("ix_waiting_job_reserved")
        batch_op.drop_index("ix_waiting_job_open")
        batch_op.drop_index(batch_op.f("ix_waiting_job_case_id"))

    op.drop_table("waiting_job")
    with op.batch_alter_table("dispatch_round", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dispatch_round_case_id"))

    op.drop_table("dispatch_round")
    with op.batch_alter_table("technician_change", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_technician_change_xid"))
        batch_op.drop_index(batch_op.f("ix_technician_change_technician_id"))

    op.drop_table("technician_change")
