"""An index by which a finish sees at a glance that no held link's level has its turn."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("ix_held_links_depth", "held_links", ["crawl_id", "depth"])
