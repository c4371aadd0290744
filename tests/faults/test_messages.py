"""What anybody with access to Redis may have written into the queues of the workers."""

from __future__ import annotations

from typing import Any

from redis import Redis

from crawler.model import Kind
from crawler.settings import Settings
from workers.celery_app import make_celery, queue_name

RUBBISH = (
    b"\x80\x04\x95pickle",
    b'{"body": "' + b"A" * 1_000_000,
    b"[" * 50_000,
    b'{"headers": {}}',
    b"17",
    b"null",
)


async def test_c43_c44_rubbish_in_a_queue_is_dropped_and_the_next_message_read(redis_url: str) -> None:
    celery = make_celery(Settings.load(broker_url=redis_url))
    name = queue_name(Kind.STATIC)
    got: list[Any] = []

    def receive(_body: object, message: Any) -> None:
        got.append(message.headers["task"])
        message.ack()

    with Redis.from_url(redis_url) as redis:
        for message in RUBBISH:
            redis.lpush(f"crawl:{name}", message)
    celery.send_task("crawl.pump", kwargs={"v": 1, "kind": "static"}, queue=name)
    with (
        celery.connection_for_read() as connection,
        connection.Consumer(celery.amqp.queues[name], callbacks=[receive], accept=["json"]),
    ):
        for _ in range(len(RUBBISH) + 1):
            if not got:
                connection.drain_events(timeout=10)
    celery.close()
    assert got == ["crawl.pump"]
