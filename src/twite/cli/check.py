"""`twite check`: diagnostics."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel
from twite.diagnostics import CheckFinding, CheckStatus, TestConversion, examine
from twite.domain.plural import plural

Canary = Annotated[
    str | None,
    typer.Option(
        "--canary", metavar="EVENT", help="Send one conversion of this event", show_default=False
    ),
]
_RESULTS: Final = {
    CheckStatus.GREEN: ("passed ", "green"),
    CheckStatus.AMBER: ("warning", "yellow"),
    CheckStatus.RED: ("failed ", "bold red"),
}


def check(
    *,
    config: Config = DEFAULT_CONFIG,
    canary: Canary = None,
    pixel: Pixel = None,
    as_json: Json = False,
) -> None:
    """Changes nothing, and sends X no conversions. Exits with 1 if a check fails.

    --canary sends one real conversion through the running gateway, and X counts it. It uses a
    reserved email address that belongs to nobody.

    Example: `twite check --config /etc/twite/twite.toml`
    """
    test = None if canary is None else TestConversion(event=canary, pixel=pixel)
    findings = asyncio.run(_findings(config, test, quiet=as_json))
    counts = Counter(finding.light for finding in findings)
    if as_json:
        printing.print_json({"ok": not counts[CheckStatus.RED], "findings": findings})
    else:
        passed, warnings, failed = (counts[light] for light in CheckStatus)
        printing.say(f"{passed} passed, {plural(warnings, 'warning')}, {failed} failed")
    if counts[CheckStatus.RED]:
        raise typer.Exit(1)


async def _findings(
    config: Path, test: TestConversion | None, *, quiet: bool
) -> list[CheckFinding]:
    findings = []
    async for finding in examine(config, os.environ, test=test):
        findings.append(finding)
        if not quiet:
            _print(finding)
    return findings


def _print(finding: CheckFinding) -> None:
    result, style = _RESULTS[finding.light]
    printing.say(printing.styled(result, style), f"  {finding.topic}: {finding.found}")
    if finding.meaning:
        printing.say(f"         {finding.meaning}")
    if finding.cure:
        printing.say(f"         → {finding.cure}")
