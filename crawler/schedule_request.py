"""From a request body to a schedule: its rule, and the crawl that it starts again and again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, pairwise

from pydantic import ValidationError

from crawler import urls
from crawler.errors import InvalidRequest
from crawler.options import CrawlOptions, parse_options
from crawler.options.json_text import parse_json
from crawler.options.parse import explain
from crawler.options.wire import unrecognized
from crawler.schedules import ScheduleRule, Timing, from_ms, is_zone, to_ms

#: Due times of a cron expression that are looked at to find the shortest time between two.
_COMPARED_TIMES = 100
_FIELDS = frozenset(str(field.alias) for field in ScheduleRule.model_fields.values())


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A request that has been checked. `options` is None where a change leaves the crawl as it is."""

    rule: ScheduleRule
    options: CrawlOptions | None


def parse_schedule(
    body: bytes, *, now: int, min_interval_seconds: int, before: ScheduleRule | None = None
) -> ScheduleRequest:
    """Check the body of a new schedule, or of a change to the rule `before`.

    A change names the fields that change; null takes a field away. `now` is in milliseconds, by the clock that the
    schedule will follow. Raises InvalidRequest, whose message names the fields.
    """
    tree = parse_json(body)
    if not isinstance(tree, Mapping):
        raise InvalidRequest('The body must be a JSON object such as {"cron": "0 3 * * *", "crawl": {…}}.')
    unknown = [str(key) for key in tree if key not in _FIELDS and key != "crawl"]
    if unknown:
        raise InvalidRequest(unrecognized(unknown))
    options = _parse_crawl(tree["crawl"], now) if "crawl" in tree else None
    if options is None and before is None:
        raise InvalidRequest("crawl is required: the body of a POST to /crawl.")
    known = {} if before is None else json.loads(before.to_json())
    given = {key: value for key, value in tree.items() if key != "crawl"}
    wire = {key: value for key, value in (known | given).items() if value is not None}
    try:
        rule = ScheduleRule.model_validate_json(json.dumps(wire))
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from error
    # Here and not in the rule: one that was kept earlier can still be read.
    if "name" in given and urls.UNPRINTABLE.search(rule.name):
        raise InvalidRequest("name contains control or direction characters; remove them.")
    if before is None or not rule.has_timing_of(before):
        _check_timing(rule, now, min_interval_seconds)
    return ScheduleRequest(rule, options)


def _parse_crawl(crawl: object, now: int) -> CrawlOptions:
    if not isinstance(crawl, Mapping):
        raise InvalidRequest("crawl should be an object: the body of a POST to /crawl.")
    try:
        options = parse_options({"incremental": True, **crawl}, now=from_ms(now))
    except InvalidRequest as error:
        message = f"crawl: {error.message}"
        raise InvalidRequest(message) from error
    if not options.incremental:
        raise InvalidRequest("crawl: incremental must be true or left out; a schedule's crawls always are.")
    return options


def _check_timing(rule: ScheduleRule, now: int, min_interval_seconds: int) -> None:
    if (rule.cron is None) == (rule.interval_seconds is None):
        raise InvalidRequest("cron or intervalSeconds is required, and not both.")
    if rule.interval_seconds is None:
        _check_cron(rule)
    else:
        _check_interval(rule, rule.interval_seconds, min_interval_seconds)
    if rule.end_at is not None:
        if rule.start_at is not None and rule.end_at <= rule.start_at:
            raise InvalidRequest("endAt should be later than startAt.")
        if to_ms(rule.end_at) <= now:
            raise InvalidRequest("endAt should lie in the future.")
    _check_times(rule, now, min_interval_seconds)


def _check_cron(rule: ScheduleRule) -> None:
    if rule.jitter_seconds:
        raise InvalidRequest("jitterSeconds is only for intervalSeconds; leave it out with cron.")
    if rule.timezone is not None and not is_zone(rule.timezone):
        message = "timezone should be a name of the IANA time zone database, such as Europe/Berlin."
        raise InvalidRequest(message)


def _check_interval(rule: ScheduleRule, interval_seconds: int, min_interval_seconds: int) -> None:
    if rule.timezone is not None:
        raise InvalidRequest("timezone is only for cron; leave it out with intervalSeconds.")
    if interval_seconds < min_interval_seconds:
        message = f"intervalSeconds should be at least {min_interval_seconds}."
        raise InvalidRequest(message)
    if rule.jitter_seconds > interval_seconds / 2:
        raise InvalidRequest("jitterSeconds should be at most half of intervalSeconds.")


def _check_times(rule: ScheduleRule, now: int, min_interval_seconds: int) -> None:
    times = Timing(rule, anchor_at=now, seed="").after(now)
    # Cron counts in minutes: only an operator who wants longer intervals makes this necessary.
    compared = _COMPARED_TIMES if rule.cron is not None and min_interval_seconds > 60 else 1
    first = list(islice(times, compared))
    if not first:
        name = "intervalSeconds" if rule.cron is None else "cron"
        message = f"{name} is never due" + (" before endAt." if rule.end_at is not None else ".")
        raise InvalidRequest(message)
    if any(later - earlier < min_interval_seconds * 1000 for earlier, later in pairwise(first)):
        message = f"cron should leave at least {min_interval_seconds} seconds between two times."
        raise InvalidRequest(message)
