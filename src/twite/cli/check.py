"""`twite check`: diagnostics."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.app.reports.text import own_words
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, option, prints
from twite.diagnostics import (
    CheckFinding,
    CheckStatus,
    SiteTest,
    TestConversion,
    examine,
    examine_site,
)
from twite.domain.plural import plural

Canary = Annotated[str | None, option("--canary", "EVENT", "Send one conversion of this event")]
Site = Annotated[
    str | None,
    option(
        "--site", "URL", "Open this page in a browser instead, and check its script and X's pixel"
    ),
]
Live = Annotated[bool, typer.Option("--live", help="Also ask X for one day of results")]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Only read settings and store: no request, and no test of disk"),
]
GrantConsent = Annotated[
    bool, typer.Option("--grant-consent", help="With --site: give consent before the event")
]
_RESULTS: Final = {
    CheckStatus.PASSED: ("passed ", "green"),
    CheckStatus.WARNING: ("warning", "yellow"),
    CheckStatus.FAILED: ("failed ", "bold red"),
}


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of all checks; `ok` is false if one failed."""

    ok: bool
    findings: tuple[CheckFinding, ...]


@prints(CheckReport)
def check(
    *,
    config: Config = DEFAULT_CONFIG,
    canary: Canary = None,
    pixel: Pixel = None,
    site: Site = None,
    grant_consent: GrantConsent = False,
    live: Live = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Changes nothing, and sends X no conversions. Exits with 1 if a check fails.

    --canary sends one real conversion through the running gateway, and X counts it. It uses a
    reserved email address that belongs to nobody.

    --site checks a page instead, with Chromium and the package playwright (twite[browser]). With
    --canary, the page fires the event, and the conversion is followed through X's pixel and the
    gateway.

    --offline asks neither X nor other servers, and writes no temporary file.

    --live asks X for yesterday's results of each ads account, and prints what cannot be read.

    Example: `twite check --config /etc/twite/twite.toml`
    """
    if offline and (live or canary is not None or site is not None):
        raise typer.BadParameter(
            "needs no network: leave out --canary, --live and --site", param_hint="--offline"
        )
    if site is None:
        test = None if canary is None else TestConversion(event=canary, pixel=pixel)
        run = examine(config, os.environ, test=test, is_live=live, is_offline=offline)
    else:
        page = SiteTest(url=site, event=canary, grants=grant_consent)
        run = examine_site(config, os.environ, page, pixel=pixel)
    findings = asyncio.run(_findings(run, quiet=as_json))
    counts = Counter(finding.status for finding in findings)
    if as_json:
        printing.print_json(check_report(findings))
    else:
        passed, warnings, failed = (counts[status] for status in CheckStatus)
        printing.say(f"{passed} passed, {plural(warnings, 'warning')}, {failed} failed")
    if counts[CheckStatus.FAILED]:
        raise typer.Exit(1)


async def _findings(run: AsyncIterator[CheckFinding], *, quiet: bool) -> list[CheckFinding]:
    findings = []
    async for finding in run:
        findings.append(finding)
        if not quiet:
            _print(finding)
    return findings


async def read_checks(path: Path, environ: Mapping[str, str]) -> CheckReport:
    """Run the checks that only read the settings and the store."""
    return check_report([finding async for finding in examine(path, environ, is_offline=True)])


def check_report(findings: Iterable[CheckFinding]) -> CheckReport:
    """Return a report, with the texts of the findings without persons."""
    found = tuple(
        msgspec.structs.replace(
            finding,
            found=own_words(finding.found),
            meaning=own_words(finding.meaning),
            fix=own_words(finding.fix),
        )
        for finding in findings
    )
    has_failed = any(finding.status is CheckStatus.FAILED for finding in found)
    return CheckReport(ok=not has_failed, findings=found)


def _print(finding: CheckFinding) -> None:
    result, style = _RESULTS[finding.status]
    printing.say(printing.styled(result, style), f"  {finding.topic}: {finding.found}")
    if finding.meaning:
        printing.say(f"         {finding.meaning}")
    if finding.fix:
        printing.say(f"         → {finding.fix}")
