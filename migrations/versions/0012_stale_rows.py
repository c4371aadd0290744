"""Indexes by which the tick sees at a glance that no robots.txt and no circuit is old enough to go."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_index("ix_robots_expiry", "robots", ["expires_at"])
    # Last, because claims write to this table and wait from here to the end of the migration.
    op.create_index("ix_circuits_next_try", "circuits", ["next_try_at"])
