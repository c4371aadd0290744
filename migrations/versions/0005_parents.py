"""A crawl may continue another one: it knows which."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
# To whoever adds 0004: set this to "0004", or there are two heads.
down_revision = "0003"


def upgrade() -> None:
    op.add_column("crawls", sa.Column("parent_id", sa.String(36), nullable=True))
