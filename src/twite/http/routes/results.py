"""`GET /v1/results`: what X attributes to the ads, beside what Twite delivered."""

import re
from typing import Final

import msgspec

from twite.domain.results.csv_rows import csv_rows
from twite.formats.files.csv_text import csv_text
from twite.gateway.results.read import DEFAULT_DAYS, MOST_DAYS, ResultsReport
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest

_ENCODER: Final = msgspec.json.Encoder()
_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_CSV: Final = ((b"content-type", b"text/csv; charset=utf-8"),)
_JSON_OR_CSV: Final = frozenset({"json", "csv"})
_WRONG_FORMAT: Final = error(400, "format", "format must be json or csv", path="format")
_WRONG_DAYS: Final = error(
    400, "days", f"days must be a whole number from 1 to {MOST_DAYS}", path="days"
)


async def results(request: HttpRequest, requester: Requester) -> HttpResponse:
    """Answer with the results of the accounts whose pixels the requester may all see.

    The query has `days`, `account` for one of them, and `format=csv` for CSV. Raises HttpRefusal
    (400).
    """
    services, asked = request.services, request.query()
    days = asked.get("days", str(DEFAULT_DAYS))
    number = int(days) if _NUMBER.fullmatch(days) else 0
    if not 1 <= number <= MOST_DAYS:
        raise HttpRefusal(_WRONG_DAYS)
    file_format = asked.get("format", "json")
    if file_format not in _JSON_OR_CSV:
        raise HttpRefusal(_WRONG_FORMAT)
    report = await services.read_results(requester.sees, number)
    if "account" in asked:
        report = _of_account(report, asked["account"])
    if file_format == "csv":
        text = csv_text(csv_rows(report.accounts))
        return HttpResponse(status=200, body=text.encode(), headers=_CSV)
    return HttpResponse(status=200, body=_ENCODER.encode(report))


def _of_account(report: ResultsReport, account: str) -> ResultsReport:
    """Return the part of one account. Raises HttpRefusal (400)."""
    known = [each.account for each in report.accounts]
    if account not in known:
        there = ", ".join(known) or "none"
        message = f"this key sees no such ads account. Available: {there}"
        raise HttpRefusal(error(400, "filter", message, path="account"))
    return ResultsReport(
        accounts=tuple(each for each in report.accounts if each.account == account),
        warnings=tuple(each for each in report.warnings if each.account == account),
    )
