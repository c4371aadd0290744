"""For how long a page has been seen without a change, and when its origin was last asked."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("urls", sa.Column("steady_ms", sa.BigInteger(), nullable=True))
    op.add_column("urls", sa.Column("asked_at", sa.BigInteger(), nullable=True))
