"""From Chromium's error names to our error codes: the one place that knows both vocabularies."""

from __future__ import annotations

from crawler.model import ErrorCode, Failure

#: Names of net/base/net_error_list.h without `net::ERR_`; a key stands for all names that start with it.
#: The second value: worth another attempt.
_CODES: tuple[tuple[str, ErrorCode, bool], ...] = (
    ("NAME_", ErrorCode.DNS_FAILURE, True),
    ("DNS_", ErrorCode.DNS_FAILURE, True),
    ("ICANN_NAME_COLLISION", ErrorCode.DNS_FAILURE, False),
    ("CERT_", ErrorCode.TLS_ERROR, False),
    ("SSL_", ErrorCode.TLS_ERROR, False),
    ("BAD_SSL_CLIENT_AUTH_CERT", ErrorCode.TLS_ERROR, False),
    ("ECH_", ErrorCode.TLS_ERROR, False),
    ("TIMED_OUT", ErrorCode.TIMEOUT, True),
    ("CONNECTION_TIMED_OUT", ErrorCode.TIMEOUT, True),
    ("CONNECTION_", ErrorCode.CONNECT_FAILED, True),
    ("ADDRESS_", ErrorCode.CONNECT_FAILED, True),
    ("SOCKET_NOT_CONNECTED", ErrorCode.CONNECT_FAILED, True),
    ("NETWORK_CHANGED", ErrorCode.CONNECT_FAILED, True),
    ("PROXY_CONNECTION_FAILED", ErrorCode.CONNECT_FAILED, True),
    ("TUNNEL_CONNECTION_FAILED", ErrorCode.CONNECT_FAILED, True),
    ("INTERNET_DISCONNECTED", ErrorCode.CONNECT_FAILED, True),
    ("TOO_MANY_REDIRECTS", ErrorCode.TOO_MANY_REDIRECTS, False),
    ("UNSAFE_REDIRECT", ErrorCode.BAD_REDIRECT, False),
    ("INVALID_REDIRECT", ErrorCode.BAD_REDIRECT, False),
    ("DISALLOWED_URL_SCHEME", ErrorCode.BAD_REDIRECT, False),
    ("UNKNOWN_URL_SCHEME", ErrorCode.BAD_REDIRECT, False),
    # Nothing was answered and nothing shown: the redirect led to a scheme that no browser fetches (tel:, intent:).
    ("ABORTED", ErrorCode.BAD_REDIRECT, False),
    ("INVALID_URL", ErrorCode.BAD_REDIRECT, False),
    ("UNSAFE_PORT", ErrorCode.BLOCKED_DESTINATION, False),
    ("CONTENT_DECODING_", ErrorCode.DECODE_ERROR, False),
    ("OUT_OF_MEMORY", ErrorCode.BROWSER_CRASHED, True),
    ("INSUFFICIENT_RESOURCES", ErrorCode.BROWSER_CRASHED, True),
    ("EMPTY_RESPONSE", ErrorCode.PROTOCOL_ERROR, True),
    ("INCOMPLETE_", ErrorCode.PROTOCOL_ERROR, True),
    ("CONTENT_LENGTH_MISMATCH", ErrorCode.PROTOCOL_ERROR, True),
    ("RESPONSE_HEADERS_TOO_BIG", ErrorCode.PROTOCOL_ERROR, False),
    ("RESPONSE_HEADERS_", ErrorCode.PROTOCOL_ERROR, False),
    ("INVALID_", ErrorCode.PROTOCOL_ERROR, False),
    ("HTTP2_", ErrorCode.PROTOCOL_ERROR, True),
)


def failure(error_text: str) -> Failure:
    """What `net::ERR_…`, as Chromium reports it for a navigation, means for a URL."""
    name = error_text.removeprefix("net::").removeprefix("ERR_")
    for prefix, code, retryable in _CODES:
        if name.startswith(prefix):
            return Failure(code, error_text, retryable)
    return Failure(ErrorCode.PROTOCOL_ERROR, error_text)
