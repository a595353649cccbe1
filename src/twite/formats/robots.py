"""Detect robots by their user agents."""

import re
from functools import lru_cache
from typing import Final

# Words in the names of robots and download tools. Licensed lists know more; these cover most, and
# no real browser has one of them. A phone is called Cubot.
_ROBOT: Final = re.compile(
    r"(?<!cu)bot(?:\b|[/_ -])|crawl|spider|slurp|headless|phantomjs|lighthouse|pagespeed|gtmetrix|"
    r"pingdom|facebookexternalhit|mediapartners|scrapy|puppeteer|selenium|playwright|"
    r"\b(?:curl|wget|python|go-http-client|axios|node-fetch|libwww|httpclient)\b",
    re.IGNORECASE,
)
_LONGEST: Final = 512  # browsers' have 100 to 250; bounds the cache


def is_robot(user_agent: str) -> bool:
    """Return whether a user agent names a robot, in its first characters if it is long."""
    return _is_robot(user_agent[:_LONGEST])


@lru_cache(maxsize=8_192)
def _is_robot(user_agent: str) -> bool:
    return _ROBOT.search(user_agent) is not None
