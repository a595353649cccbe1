"""`twite check`: the doctor."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, text
from twite.diagnostics import CheckFinding, CheckStatus, TestConversion, examine

EXAMPLE: Final = "Example: `twite check --config /etc/twite/twite.toml`"
Sing = Annotated[
    str | None,
    typer.Option(
        "--canary", metavar="EVENT", help="Send one conversion of this event.", show_default=False
    ),
]
_SIGNS: Final = {
    CheckStatus.GREEN: ("ok  ", "green"),
    CheckStatus.AMBER: ("warn", "yellow"),
    CheckStatus.RED: ("FAIL", "bold red"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check", help=text("check", check, EXAMPLE))(check)


def check(
    *,
    config: Config = DEFAULT_CONFIG,
    canary: Sing = None,
    pixel: Pixel = None,
    as_json: Json = False,
) -> None:
    """Exits 1 when something is red. It changes nothing, and asks X only what counts nothing.

    A canary is a real conversion, of nobody: through the running gateway to X, which counts it.
    """
    sing = None if canary is None else TestConversion(event=canary, pixel=pixel)
    findings = asyncio.run(_findings(config, sing, quiet=as_json))
    counts = Counter(finding.light for finding in findings)
    if as_json:
        printing.print_json({"ok": not counts[CheckStatus.RED], "findings": findings})
    else:
        printing.say(
            f"{counts[CheckStatus.GREEN]} in order, {counts[CheckStatus.AMBER]} to look at, "
            f"{counts[CheckStatus.RED]} in the way."
        )
    if counts[CheckStatus.RED]:
        raise typer.Exit(1)


async def _findings(
    config: Path, sing: TestConversion | None, *, quiet: bool
) -> list[CheckFinding]:
    findings = []
    async for finding in examine(config, os.environ, sing=sing):
        findings.append(finding)
        if not quiet:
            _print(finding)
    return findings


def _print(finding: CheckFinding) -> None:
    sign, style = _SIGNS[finding.light]
    printing.say(printing.styled(sign, style), f"  {finding.topic}: {finding.found}")
    if finding.meaning:
        printing.say(f"        {finding.meaning}")
    if finding.cure:
        printing.say(f"        → {finding.cure}")
