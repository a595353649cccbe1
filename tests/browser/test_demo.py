"""The demo's shop in a real browser: each order is sent by the page and by the server."""

import sys

import pytest
import pytest_asyncio
from visitor import TWCLID, until

import fork_server
from twite.cli.demo.processes import DemoProcesses

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]


@pytest_asyncio.fixture(loop_scope="session")
async def cast(tmp_path, monkeypatch):
    interpreter = tmp_path / "python"
    fork_server.write_command(interpreter, module="")
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with DemoProcesses(tmp_path) as cast:
        yield cast


async def test_demo_order_is_counted_once_and_shown(browser, cast):
    context = await browser.new_context()
    page = await context.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))

    await page.goto(f"{cast.shop.url}/?twclid={TWCLID}")
    await page.click("text=View the mug")
    await page.click("text=Buy it")
    await until(lambda: counts_of_the_order(cast) == {"api": 1, "pixel": 1, "counted": 1})
    await page.reload()
    await page.wait_for_load_state("networkidle")
    await page.goto(f"{cast.shop.url}/deduplication")
    rows = await page.locator("tr:has(td)").all_inner_texts()
    await context.close()

    seen = dict(row.split("\t")[:2] for row in rows)
    assert (seen["both"], seen["pixel only"], seen["server only"], seen["page and server"]) == (
        ("1", "0", "0", "1")
    )
    assert counts_of_the_order(cast) == {"api": 1, "pixel": 1, "counted": 1}
    assert [text for text in blocked if "Content Security Policy" in text] == []


def counts_of_the_order(cast: DemoProcesses) -> dict[str, int]:
    """How often X received the order by API and by pixel, and how often X counted it."""
    events = cast.emulator.counted(ids=True)["pixels"].get("o8z6j", {}).get("events", {})
    tally = events.get("o8z6k", {}).get("ids", {}).get("shop-0001", {})
    return {name: tally.get(name, 0) for name in ("api", "pixel", "counted")}
