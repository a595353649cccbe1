"""Preview of a webhook's message: what it would become, masked, without storing or sending it."""

from collections.abc import Mapping

import msgspec

from twite.consent.verdict import judging
from twite.domain.destination import Destination, Source
from twite.domain.value_change import change_text
from twite.formats.native.answers import ErrorDetail
from twite.formats.native.conversion import ReadConversion
from twite.formats.native.read import read_parsed
from twite.formats.webhook_kind import REASONS, IgnoredReason, WebhookReading
from twite.gateway.ingest.value_rules import CurrentValueRules
from twite.redaction.mask_tree import masked_tree
from twite.redaction.scrub_text import scrubbed_json

# With this header, a message that is genuine becomes a preview in place of a conversion.
TEST_HEADER = "x-twite-test"


class PreviewedConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion, and whether it would be `accepted`, `suppressed`, `held` or `rejected`.

    `conversion` is in the native format, masked. If it is rejected, `errors` say why; otherwise
    they are notes on what is left out. `value` and `currency` are those after value rules, and
    `value_change` says what a rule did, or why it failed.
    """

    verdict: str
    conversion: Mapping[str, object]
    reason: str = ""
    errors: tuple[ErrorDetail, ...] = ()
    value_change: str = ""


class IgnoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    reason: str
    meaning: str


class WebhookPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a message would become. `message` is its name."""

    message: str
    conversions: tuple[PreviewedConversion, ...] = ()
    ignored: tuple[IgnoredMessage, ...] = ()
    erased_identifiers: int = 0

    @property
    def has_errors(self) -> bool:
        return any(each.verdict == "rejected" for each in self.conversions)


def preview(
    reading: WebhookReading,
    *,
    source: Source,
    destinations: Mapping[str, Destination],
    now: int,
    value_rules: CurrentValueRules,
) -> WebhookPreview:
    """Return what a reading would become. `now` is in milliseconds. It knows no opt-outs."""
    parsed = read_parsed(
        reading.parsed,
        source=source,
        destinations=destinations,
        now=now,
        salt=b"",
        judge=judging(policy=source.consent, now=now, revoked=None),
    )
    parsed = value_rules.applied(parsed, source.name)
    return WebhookPreview(
        message=reading.name,
        conversions=tuple(map(_previewed, parsed.results)),
        ignored=tuple(
            IgnoredMessage(
                name=each.name, reason=each.reason, meaning=REASONS[IgnoredReason(each.reason)]
            )
            for each in reading.parsed.ignored
        ),
        erased_identifiers=len(reading.erase),
    )


def _previewed(conversion: ReadConversion) -> PreviewedConversion:
    scrubbed = scrubbed_json(msgspec.json.encode(conversion.native), thoroughly=True)
    masked = masked_tree(msgspec.json.decode(scrubbed))
    shown = dict(masked) if isinstance(masked, Mapping) else {}
    change = conversion.value_change
    if change is not None and change.problem is None:
        shown |= {"value": change.after, "currency": change.currency}
    # It looks like a part of an address, but is an amount.
    if conversion.rule_fields.shipping is not None:
        shown["shipping"] = conversion.rule_fields.shipping
    verdict, reason = "accepted", ""
    if conversion.suppressed is not None:
        verdict, reason = "suppressed", conversion.suppressed
    elif conversion.is_faulty:
        verdict = "rejected"
    elif conversion.held is not None:
        verdict, reason = "held", conversion.held
    return PreviewedConversion(
        verdict=verdict,
        conversion=shown,
        reason=reason,
        errors=tuple(
            ErrorDetail(path=each.path, code=each.code, message=each.message)
            for each in conversion.faults
        ),
        value_change="" if change is None else change_text(change),
    )
