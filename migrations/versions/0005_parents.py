"""A crawl may continue another one: it knows which, and that one whether it had secrets, which are forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("crawls", sa.Column("parent_id", sa.String(36), nullable=True))
    op.add_column(
        "crawls", sa.Column("had_secrets", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
