"""Browsers that nobody sits at: what their user agents have in common."""

import re
from functools import lru_cache
from typing import Final

# Words of robots' names, and of tools that fetch pages. Licensed lists know more; these are the
# many, and no browser that people use has one of them. A telephone is called Cubot.
_ROBOT: Final = re.compile(
    r"(?<!cu)bot(?:\b|[/_ -])|crawl|spider|slurp|headless|phantomjs|lighthouse|pagespeed|gtmetrix|"
    r"pingdom|facebookexternalhit|mediapartners|scrapy|puppeteer|selenium|playwright|"
    r"\b(?:curl|wget|python|go-http-client|axios|node-fetch|libwww|httpclient)\b",
    re.IGNORECASE,
)
_LONGEST: Final = 512  # browsers' have 100 to 250; what is remembered must have an end


def is_robot(user_agent: str) -> bool:
    """Return whether a user agent says that it is a robot, in its first letters if it is long."""
    return _is_robot(user_agent[:_LONGEST])


@lru_cache(maxsize=8_192)
def _is_robot(user_agent: str) -> bool:
    return _ROBOT.search(user_agent) is not None
