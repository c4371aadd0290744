"""Exceptions that leave a layer. Expected outcomes of a crawl are values (`crawler.model`), not these.

CrawlError
├── InvalidRequest        the caller asked for something that cannot be done
├── NotFound              there is no such crawl for this account
├── NotCancellable        the crawl has already ended
├── Unauthorized          no token, or one that is not ours
├── Forbidden             a known token without the needed scope
├── RateLimited           too many requests; says when to come back
├── Unavailable           a part we depend on is away; says when to come back
│   └── StorageFull       the database has no room left
├── LeaseLost             the URL is somebody else's by now
├── SecretLost            no key opens what a crawl keeps encrypted
└── ConfigurationError    a setting is wrong; the process must not start
"""


class CrawlError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").splitlines()[0]
        super().__init__(self.message)


class InvalidRequest(CrawlError):
    """The request is not valid."""


class NotFound(CrawlError):
    """Crawl job not found"""


class NotCancellable(CrawlError):
    """The crawl job is already in a final status and cannot be cancelled"""


class Unauthorized(CrawlError):
    """Authentication error"""


class Forbidden(CrawlError):
    """The token lacks the permission that this request needs"""


class RateLimited(CrawlError):
    """Rate limit exceeded"""

    def __init__(self, retry_after_seconds: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(CrawlError):
    """The service cannot do this at the moment; please try again."""

    def __init__(self, message: str | None = None, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StorageFull(Unavailable):
    """storage_full: the database has no room left; free some space on its disk."""


class LeaseLost(CrawlError):
    """The lease has run out, and the URL may be somebody else's by now."""


class SecretLost(CrawlError):
    """No key of CRAWL_SECRET_KEYS opens the secrets of this crawl."""


class ConfigurationError(CrawlError):
    """A setting is wrong."""
