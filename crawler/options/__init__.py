"""The request contract of POST `/crawl`: fields, bounds and refusals (contract A.4, security C1 to C18)."""

from crawler.options.parse import parse_options
from crawler.options.request import CrawlOptions, StaticOptions
from crawler.options.secrets import join_secrets, split_secrets

__all__ = ["CrawlOptions", "StaticOptions", "join_secrets", "parse_options", "split_secrets"]
