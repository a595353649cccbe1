"""`python -m bench.page`: what the first-party script costs a page, beside one without it.

Needs the tools of the tests and a Chromium. Each figure is the median of several runs, the sides
taken in turn; at a quarter of the processor's speed, too, as on a cheaper telephone.
"""

import argparse
import asyncio
import gzip
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import zstandard

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "browser"), str(TESTS / "journeys")]

from playwright.async_api import Browser, async_playwright  # noqa: E402 - after the path to it
from shop import Shop, ShopSite, running_site  # noqa: E402
from visitor import FLAGS, TWCLID  # noqa: E402

from twite.http.script import script  # noqa: E402
from twite_emulator.process import running_emulator  # noqa: E402

SIDES = {"empty": False, "ours": True}
BUY = """() => {
  const start = performance.now();
  twite('purchase', {value: 49.9, currency: 'EUR', email: 'shopper@example.com',
    phone: '+442079460958', contents: [{id: 'SKU-1', price: 24.95, quantity: 2}]});
  return performance.now() - start;
}"""

Figures = dict[str, list[float]]


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--runs", type=int, default=15)
    return asked


def main() -> int:
    runs = parser().parse_args().runs
    chromium = os.environ.get("TWITE_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("There is no Chromium here: install it, or name one with TWITE_CHROMIUM")
        return 1
    with (
        tempfile.TemporaryDirectory() as folder,
        Shop() as shop,
        running_emulator() as emulator,
        running_site(Path(folder), shop, emulator) as site,
    ):
        found = asyncio.run(_measured(site, chromium, runs))
    _say(found, runs)
    return 0


async def _measured(site: ShopSite, chromium: str, runs: int) -> dict[float, Figures]:
    site.shop.page("/empty", "")
    site.shop.page("/ours", "", head=site.tag(data_pixel="off"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        found: dict[float, Figures] = {}
        for slowed in (1, 4):
            figures = found[slowed] = {}
            for _ in range(runs):
                for side, buys in SIDES.items():
                    address = f"{site.shop.origin}/{side}?twclid={TWCLID}"
                    await _visit(browser, address, side, slowed, figures, buys=buys)
        await browser.close()
    return found


async def _visit(
    browser: Browser, address: str, side: str, slowed: float, figures: Figures, *, buys: bool
) -> None:
    """Load a page in a browser that has never been there, and note what it cost."""
    context = await browser.new_context()
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    await session.send("Emulation.setCPUThrottlingRate", {"rate": slowed})
    # The time that the thread had a processor, whoever else is busy on the machine.
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    await page.goto(address, wait_until="networkidle")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    taken = {metric["name"]: metric["value"] * 1_000 for metric in metrics}
    for name in ("TaskDuration", "ScriptDuration"):
        figures.setdefault(f"{side} {name}", []).append(taken[name])
    if buys:
        figures.setdefault("call", []).append(await page.evaluate(BUY))
    await context.close()


def _say(found: dict[float, Figures], runs: int) -> None:
    body = script()
    packed = len(gzip.compress(body, 9)), len(zstandard.ZstdCompressor(level=19).compress(body))
    print(f"\nthe script: {len(body):,} bytes, gzip {packed[0]:,}, zstd {packed[1]:,}")
    print(f"main thread, medians of {runs} first visits that land with a click, in ms:\n")
    for slowed, figures in found.items():
        middle = {name: statistics.median(values) for name, values in figures.items()}
        print("  at full speed" if slowed == 1 else f"  at 1/{slowed} of the speed")
        for name, what in (("TaskDuration", "all tasks"), ("ScriptDuration", "JavaScript")):
            ours, empty = middle[f"ours {name}"], middle[f"empty {name}"]
            print(f"    {what:<24}{ours - empty:6.1f} more: {ours:.1f} against {empty:.1f}")
        print(f"    {'a call of twite()':<24}{middle['call']:6.2f}")


if __name__ == "__main__":
    sys.exit(main())
