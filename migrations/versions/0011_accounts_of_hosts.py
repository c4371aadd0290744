"""Hosts by account, so that accounts can share the workers by turn."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("hosts", sa.Column("account_id", sa.String(64), server_default="", nullable=False))
    for kind in ("static", "render"):
        op.create_index(
            f"ix_hosts_account_{kind}",
            "hosts",
            ["account_id", "next_fetch_at"],
            postgresql_where=sa.text(f"waiting_{kind}"),
            sqlite_where=sa.text(f"waiting_{kind}"),
        )
