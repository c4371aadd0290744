"""Turns at addresses, over all the hosts there."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("address", sa.String(45), primary_key=True),
        sa.Column("host", sa.String(255)),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("ask_again_at", sa.BigInteger(), server_default="0", nullable=False),
    )
