"""Bodies by digest, so that a text is kept once however often it is crawled; what incremental crawls need to know."""

from hashlib import sha256

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0003"
down_revision = "0002"

_BATCH = 500
_URL_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.add_column("crawls", sa.Column("fingerprint", sa.String(32), server_default="", nullable=False))
    op.create_index("ix_crawls_fingerprint", "crawls", ["fingerprint", "created_at"])
    for column in (
        sa.Column("details", sa.Text(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.String(32), nullable=True),
        sa.Column("reuse_key", sa.String(22), nullable=True),
        sa.Column("confirmed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lastmod_at", sa.BigInteger(), nullable=True),
    ):
        op.add_column("urls", column)
    op.create_index(
        "ix_urls_reuse",
        "urls",
        ["reuse_key", "finished_at"],
        postgresql_where=sa.text("reuse_key IS NOT NULL"),
        sqlite_where=sa.text("reuse_key IS NOT NULL"),
    )
    op.create_table(
        "contents",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_contents")),
    )
    op.create_index("ix_contents_used", "contents", ["used_at"])
    op.rename_table("bodies", "old_bodies")
    if is_postgres:
        op.execute("ALTER TABLE old_bodies RENAME CONSTRAINT pk_bodies TO pk_old_bodies")
    op.create_table(
        "bodies",
        sa.Column("url_id", _URL_ID, autoincrement=False, nullable=False),
        sa.Column("html", sa.LargeBinary(length=32), nullable=True),
        sa.Column("markdown", sa.LargeBinary(length=32), nullable=True),
        sa.Column("json", sa.LargeBinary(length=32), nullable=True),
        sa.Column("links", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["url_id"], ["urls.id"], name=op.f("fk_bodies_url_id"), ondelete="CASCADE"),
        *(
            sa.ForeignKeyConstraint([name], ["contents.digest"], name=op.f(f"fk_bodies_{name}"))
            for name in ("html", "markdown", "json")
        ),
        sa.PrimaryKeyConstraint("url_id", name=op.f("pk_bodies")),
    )
    for name in ("html", "markdown", "json"):
        op.create_index(
            f"ix_bodies_{name}",
            "bodies",
            [name],
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
            sqlite_where=sa.text(f"{name} IS NOT NULL"),
        )
    if is_postgres:
        # They come compressed: Postgres must not try again.
        op.execute("ALTER TABLE contents ALTER data SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE bodies ALTER links SET STORAGE EXTERNAL")
    _move_bodies(op.get_bind())
    op.drop_table("old_bodies")


def _move_bodies(connection: sa.Connection) -> None:
    old = sa.table("old_bodies", sa.column("url_id"), sa.column("html"), sa.column("markdown"))
    conflict = "ON CONFLICT (digest) DO NOTHING"
    insert_content = sa.text(f"INSERT INTO contents VALUES (:digest, :data, crawl_now()) {conflict}")
    insert_body = sa.text("INSERT INTO bodies (url_id, html, markdown) VALUES (:url_id, :html, :markdown)")
    after = 0
    while True:
        chosen = sa.select(old).where(old.c.url_id > after).order_by(old.c.url_id).limit(_BATCH)
        rows = connection.execute(chosen).all()
        if not rows:
            return
        moved = [
            {"url_id": row.url_id, "html": _digest(row.html), "markdown": _digest(row.markdown)}
            for row in rows
        ]
        contents: dict[bytes | None, bytes] = {}
        for row, new in zip(rows, moved, strict=True):
            contents |= {new["html"]: row.html, new["markdown"]: row.markdown}
        contents.pop(None, None)
        if contents:
            connection.execute(insert_content, [{"digest": d, "data": data} for d, data in contents.items()])
        connection.execute(insert_body, moved)
        after = rows[-1].url_id


def _digest(data: bytes | None) -> bytes | None:
    return None if data is None else sha256(zstandard.decompress(data)).digest()
