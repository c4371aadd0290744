"""Failures in a row are counted by origin: a port that is closed says nothing about the others of its host."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "circuits",
        sa.Column("host_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("origin", sa.String(300), primary_key=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failure", sa.String(32), server_default="", nullable=False),
        sa.Column("pause_ms", sa.Integer(), server_default="0", nullable=False),
        sa.Column("down_until_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), server_default="0", nullable=False),
    )
    for name in ("failures", "failure", "pause_ms", "down_until_at"):
        op.drop_column("hosts", name)
