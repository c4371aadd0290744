"""From the request contract (`crawler.options`) to what the renderer works with (`crawler.fetch.render_options`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from crawler import urls
from crawler.fetch.render_options import Cookie, Credentials, RenderOptions, SelectorWait, Tag, Viewport
from crawler.options import CrawlOptions
from crawler.patterns import RequestPattern

_DEFAULT = RenderOptions()


def render_options(options: CrawlOptions) -> RenderOptions:
    """The render fields of a request that has been validated."""
    goto = options.goto_options
    wait = options.wait_for_selector
    viewport = options.viewport
    return RenderOptions(
        own_origin=urls.origin_of(options.url),
        headers=options.set_extra_http_headers,
        credentials=None
        if options.authenticate is None
        else Credentials(options.authenticate.username, options.authenticate.password),
        cookies=tuple(
            Cookie(
                name=cookie.name,
                value=cookie.value,
                domain=cookie.domain,
                path=cookie.path,
                url=cookie.url,
                expires_at=cookie.expires,
                http_only=bool(cookie.http_only),
                secure=bool(cookie.secure),
                same_site=cookie.same_site,
                partition_key=cookie.partition_key,
            )
            for cookie in options.cookies
        ),
        wait_until=goto.wait_until,
        goto_timeout=timedelta(milliseconds=goto.timeout),
        referer=goto.referer,
        referrer_policy=goto.referrer_policy,
        wait_for_selector=None
        if wait is None
        else SelectorWait(
            selector=wait.selector,
            visible=bool(wait.visible),
            hidden=bool(wait.hidden),
            timeout=_duration(wait.timeout),
        ),
        wait_for_timeout=_duration(options.wait_for_timeout) or _DEFAULT.wait_for_timeout,
        action_timeout=_duration(options.action_timeout) or _DEFAULT.action_timeout,
        best_attempt=options.best_attempt,
        viewport=Viewport(
            width=viewport.width,
            height=viewport.height,
            device_scale_factor=viewport.device_scale_factor,
            is_mobile=viewport.is_mobile,
            has_touch=viewport.has_touch,
        ),
        javascript=options.set_java_script_enabled,
        media_type=options.emulate_media_type,
        script_tags=tuple(Tag(tag.content, tag.url, tag.type, tag.id) for tag in options.add_script_tag),
        style_tags=tuple(Tag(tag.content, tag.url) for tag in options.add_style_tag),
        reject_resource_types=frozenset(options.reject_resource_types),
        allow_resource_types=frozenset(options.allow_resource_types),
        reject_patterns=_patterns(options.reject_request_pattern),
        allow_patterns=_patterns(options.allow_request_pattern),
    )


def _duration(milliseconds: float | None) -> timedelta | None:
    return None if milliseconds is None else timedelta(milliseconds=milliseconds)


def _patterns(texts: Iterable[str]) -> tuple[RequestPattern, ...]:
    compiled = (RequestPattern.compile(text) for text in texts)
    return tuple(pattern for pattern in compiled if isinstance(pattern, RequestPattern))
