"""Cases of several alarms, storms and self-audit."""

import sqlalchemy as sa
from alembic import op

from prevenant import store

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables forward."""
    op.create_table(
        "case_alarm",
        sa.Column("case_id", sa.Integer(), nullable=False),
        sa.Column("alarm_id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("device_id", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("joined_at", store.UtcDateTime(timezone=True), nullable=False),
        sa.Column("ended_at", store.UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["case_file.id"], name=op.f("fk_case_alarm_case_id")),
        sa.PrimaryKeyConstraint("case_id", "alarm_id", name=op.f("pk_case_alarm")),
    )
    with op.batch_alter_table("case_alarm", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_case_alarm_alarm_id"), ["alarm_id"], unique=False)
        batch_op.create_index(
            "ix_case_alarm_rule_device", ["rule", "device_id", "case_id"], unique=False
        )

    with op.batch_alter_table("alarm", schema=None) as batch_op:
        batch_op.create_index(
            "ix_alarm_held",
            ["state", "held_until"],
            unique=False,
            sqlite_where=sa.text("state = 'active' AND held_until IS NOT NULL"),
            postgresql_where=sa.text("state = 'active' AND held_until IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_alarm_told",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 'active' AND held_by = ''"),
            postgresql_where=sa.text("state = 'active' AND held_by = ''"),
        )

    with op.batch_alter_table("case_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("site_id", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("outcome", sa.String(), nullable=False, server_default=""))
        batch_op.create_index(batch_op.f("ix_case_event_alarm_id"), ["alarm_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_case_event_case_id"), ["case_id"], unique=False)
        batch_op.create_index(
            "ix_case_event_given_up",
            ["id"],
            unique=False,
            sqlite_where=sa.text("outcome = 'given up'"),
            postgresql_where=sa.text("outcome = 'given up'"),
        )
        batch_op.create_index(
            "ix_case_event_unheard_at",
            ["at"],
            unique=False,
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )
        batch_op.create_index(
            "ix_case_event_unheard_site",
            ["site_id", "id"],
            unique=False,
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )

    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.add_column(sa.Column("parent_id", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("storm_of", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(
            sa.Column("gathers_until", store.UtcDateTime(timezone=True), nullable=True)
        )
        batch_op.add_column(sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
        batch_op.create_index(
            "ix_case_file_failing",
            ["id"],
            unique=False,
            sqlite_where=sa.text("failures > 0"),
            postgresql_where=sa.text("failures > 0"),
        )
        batch_op.create_index(
            "ix_case_file_gathers",
            ["site_id", "workflow", "id"],
            unique=False,
            sqlite_where=sa.text("gathers_until IS NOT NULL"),
            postgresql_where=sa.text("gathers_until IS NOT NULL"),
        )
        batch_op.create_index("ix_case_file_opened", ["workflow", "opened_at"], unique=False)
        batch_op.create_index("ix_case_file_parent", ["parent_id", "state"], unique=False)
        batch_op.create_index(
            "ix_case_file_without_end",
            ["state", "due_at"],
            unique=False,
            sqlite_where=sa.text("state = 'open' AND due_at IS NULL"),
            postgresql_where=sa.text("state = 'open' AND due_at IS NULL"),
        )
        batch_op.create_index(
            "ix_case_file_without_owner",
            ["state", "owner"],
            unique=False,
            sqlite_where=sa.text("state = 'handed_over' AND owner = ''"),
            postgresql_where=sa.text("state = 'handed_over' AND owner = ''"),
        )

    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.create_index(
            "ix_offer_open",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    op.execute(
        "INSERT INTO case_alarm"
        " (case_id, alarm_id, rule, device_id, severity, joined_at, ended_at)"
        " SELECT case_file.id, alarm.id, alarm.rule, alarm.device_id, alarm.severity,"
        " alarm.raised_at, alarm.cleared_at"
        " FROM case_file JOIN alarm ON alarm.id = case_file.alarm_id"
    )
    # Nobody wrote down so far why an alarm has no case.
    op.execute(
        "UPDATE case_event SET outcome = 'no workflow' WHERE kind = 'alarm.raised'"
        " AND heard_at IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM case_alarm WHERE case_alarm.alarm_id = case_event.alarm_id)"
    )


def downgrade() -> None:
    """Take the tables back."""
    with op.batch_alter_table("offer", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_offer_open",
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )

    with op.batch_alter_table("case_file", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_case_file_without_owner",
            sqlite_where=sa.text("state = 'handed_over' AND owner = ''"),
            postgresql_where=sa.text("state = 'handed_over' AND owner = ''"),
        )
        batch_op.drop_index(
            "ix_case_file_without_end",
            sqlite_where=sa.text("state = 'open' AND due_at IS NULL"),
            postgresql_where=sa.text("state = 'open' AND due_at IS NULL"),
        )
        batch_op.drop_index("ix_case_file_parent")
        batch_op.drop_index("ix_case_file_opened")
        batch_op.drop_index(
            "ix_case_file_gathers",
            sqlite_where=sa.text("gathers_until IS NOT NULL"),
            postgresql_where=sa.text("gathers_until IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_case_file_failing",
            sqlite_where=sa.text("failures > 0"),
            postgresql_where=sa.text("failures > 0"),
        )
        batch_op.drop_column("failures")
        batch_op.drop_column("gathers_until")
        batch_op.drop_column("storm_of")
        batch_op.drop_column("parent_id")

    with op.batch_alter_table("case_event", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_case_event_unheard_site",
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_case_event_unheard_at",
            sqlite_where=sa.text("heard_at IS NULL"),
            postgresql_where=sa.text("heard_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_case_event_given_up",
            sqlite_where=sa.text("outcome = 'given up'"),
            postgresql_where=sa.text("outcome = 'given up'"),
        )
        batch_op.drop_index(batch_op.f("ix_case_event_case_id"))
        batch_op.drop_index(batch_op.f("ix_case_event_alarm_id"))
        batch_op.drop_column("outcome")
        batch_op.drop_column("site_id")

    with op.batch_alter_table("alarm", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_alarm_told",
            sqlite_where=sa.text("state = 'active' AND held_by = ''"),
            postgresql_where=sa.text("state = 'active' AND held_by = ''"),
        )
        batch_op.drop_index(
            "ix_alarm_held",
            sqlite_where=sa.text("state = 'active' AND held_until IS NOT NULL"),
            postgresql_where=sa.text("state = 'active' AND held_until IS NOT NULL"),
        )

    with op.batch_alter_table("case_alarm", schema=None) as batch_op:
        batch_op.drop_index("ix_case_alarm_rule_device")
        batch_op.drop_index(batch_op.f("ix_case_alarm_alarm_id"))

    op.drop_table("case_alarm")
