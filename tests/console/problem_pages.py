"""Read the console's pages of problems and replays."""

import asyncio
import html
import re

_ROW = re.compile(r'<tr role="row" id="p([0-9a-f]{12})">(.*?)</tr>', re.DOTALL)
LEFT = "Nothing that you see is left of this problem, or it never existed."
_NOTHING_LEFT = '<span class="value">0</span><span class="name">left</span>'


def problem_rows(page):
    """Return the text of each problem's row by its key."""
    return {
        key: " ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split())
        for key, row in _ROW.findall(page)
    }


async def problem_key(person, text):
    """Return the key of the one problem whose row contains a text."""
    page = await person.get("/console/problems")
    (key,) = [key for key, row in problem_rows(page.text).items() if text in row]
    return key


async def worked_off(person, location):
    """Return the page of a replay once all its parts are worked off."""
    for _ in range(300):
        page = (await person.get(location)).text
        if _NOTHING_LEFT in page:
            return page
        await asyncio.sleep(0.02)
    raise AssertionError("the replay does not end")
