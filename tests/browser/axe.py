"""What axe finds on a page: all rules, best practices included, in both color schemes."""

from pathlib import Path

from playwright.async_api import Page

AXE = Path(__file__).parents[2] / ".node/node_modules/axe-core/axe.min.js"
_ALL_RULES = "axe.run({resultTypes: ['violations']})"
_CONTRAST = "axe.run({resultTypes: ['violations'], runOnly: ['color-contrast']})"


async def violations_on(page: Page) -> list[tuple[str, ...]]:
    """Return the violations of all rules in light, and of contrast in dark; none without axe."""
    if not AXE.exists():
        return []
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text("utf-8"))
    results = [await page.evaluate(_ALL_RULES)]
    await page.emulate_media(color_scheme="dark")
    results.append(await page.evaluate(_CONTRAST))
    await page.emulate_media(color_scheme="light")
    return [
        (
            violation["id"],
            violation["impact"],
            violation["nodes"][0]["html"][:200],
            violation["nodes"][0]["failureSummary"][:300],
        )
        for result in results
        for violation in result["violations"]
    ]
