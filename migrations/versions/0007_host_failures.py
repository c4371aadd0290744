"""How often a host has failed in a row, and what follows from it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Constant defaults: neither database rewrites the table.
    op.add_column("hosts", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("hosts", sa.Column("failure", sa.String(32), server_default="", nullable=False))
    op.add_column("hosts", sa.Column("pause_ms", sa.Integer(), server_default="0", nullable=False))
    op.add_column("hosts", sa.Column("down_until_at", sa.BigInteger(), server_default="0", nullable=False))
