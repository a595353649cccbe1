"""Diagnostics of value rules that read what only one copy of a conversion has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from twite.app.what_if.past_values import SentCopies, SentCopy, SentFields, SentLately
from twite.config.settings import Settings
from twite.domain.destination import X_SOURCE
from twite.domain.stats.deduplication import DedupReport
from twite.domain.submission import Endpoint
from twite.formats.value_rules import FIELDS_OF_LINES, RuleResult, ValueRule, ValueRules
from twite.formats.webhook_kind import IncomingWebhook
from twite.gateway.ports.findings import CheckFinding, warning

# What rules read beside the amount and the currency. A page and a server may differ in them.
_DIFFERING: Final = FIELDS_OF_LINES | {
    "contents", "description", "new_customer", "quantity", "search", "shipping", "tax", "url",
}  # fmt: skip
_OF_X: Final = frozenset({Endpoint.X_API, Endpoint.STAPE})
_NOT_IN_X: Final = frozenset({"tax", "shipping", "new_customer"})
# The sources that sent an event (pixel, X's id) lately.
Senders = Mapping[tuple[str, str], set[str]]


def events_of(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield each event once, as (pixel, X's id, its first name)."""
    for destination in settings.destinations():
        names: dict[str, str] = {}
        for name, event in destination.events.items():
            names.setdefault(event, name)
        for event, name in names.items():
            yield destination.pixel, event, name


class RuleCopies(msgspec.Struct, frozen=True, kw_only=True):
    """The rules, and what is known of the copies of conversions that sources sent lately.

    `reports` say which events a page and a server sent; `sent` is what stored requests show.
    """

    settings: Settings
    rules: ValueRules
    senders: Senders
    reports: Iterable[DedupReport]
    sent: SentLately

    def findings(self) -> Iterator[CheckFinding]:
        """Yield rules that give the copies of a conversion different amounts, or may do so."""
        for rule in self.rules.rules:
            read = rule.fields() & _DIFFERING
            if read & (FIELDS_OF_LINES | {"contents"}):
                read -= {"quantity"}  # of a line
            unknown: dict[str, set[str]] = {}
            for pixel, event, name in self._sent_twice(rule):
                shown = f"{name} of pixel {pixel}"
                is_explained = False
                for field in sorted(read):
                    lacking, others = self._by_copy(pixel, event, field)
                    if lacking and others:
                        is_explained = True
                        yield self._lacking(rule, field, shown, lacking=lacking, others=others)
                    elif not lacking and not self._read(pixel, event):
                        unknown.setdefault(shown, set()).add(field)
                if not is_explained:
                    yield from self._differing(rule, pixel, event, shown)
            if unknown:
                fields = ", ".join(sorted(set().union(*unknown.values())))
                events = ", ".join(unknown)
                yield warning(
                    "values",
                    f"the rule {rule.name} reads {fields}, and pages and servers send {events}",
                    "If only one of the two copies has what the rule reads, the amount depends on "
                    "which copy arrives first. The store has no request that shows it.",
                    "Send the same fields from both, or let only the server send the event.",
                )

    def _differing(
        self, rule: ValueRule, pixel: str, event: str, shown: str
    ) -> Iterator[CheckFinding]:
        """Yield that a rule gave the two copies of stored conversions different amounts."""
        pairs = 0
        differing: list[tuple[str, str]] = []
        for pair in self.sent.pairs:
            if pair[0].copies[:2] != (pixel, event):
                continue
            pairs += 1
            results = [self._after(copy) for copy in pair]
            amounts = [(each.conversion.value, each.conversion.currency) for each in results]
            if rule.name in {each.rule for each in results} and amounts[0] != amounts[1]:
                differing.append((_amount(pair[0], results[0]), _amount(pair[1], results[1])))
        if differing:
            amount, other = differing[0]
            fields = ", ".join(sorted(rule.fields()))
            yield warning(
                "values",
                f"the rule {rule.name} gives the two copies of {len(differing):,} of {pairs:,} "
                f"{shown} different amounts, such as {amount} and {other}",
                "The amount depends on which copy arrives first.",
                f"Send the same {fields} from both, or let only the server send the event.",
            )

    def _after(self, copy: SentCopy) -> RuleResult:
        return self.rules.applied(
            copy.conversion, source=copy.copies.source, rule_fields=copy.rule_fields
        )

    def _sent_twice(self, rule: ValueRule) -> Iterator[tuple[str, str, str]]:
        """Yield the events that pages and servers send, if the rule applies to all of them."""
        pages = {source.name for source in self.settings.submitters if source.origins}
        both = {(each.pixel, each.event) for each in self.reports if each.page_and_server}
        for pixel, event, name in events_of(self.settings):
            sources = self.senders.get((pixel, event), set())
            is_sent_twice = (pixel, event) in both or (sources & pages and sources - pages)
            if is_sent_twice and all(
                rule in self.rules.of(source=source, pixel=pixel, event=event) for source in sources
            ):
                yield pixel, event, name

    def _by_copy(self, pixel: str, event: str, field: str) -> tuple[list[SentCopies], list[str]]:
        """Return the ways by which an event comes without a field, and the others."""
        read = self._read(pixel, event)
        lacking = [copies for copies, sent in read.items() if not sent.having[field]]
        others = [_shown(copies) for copies, sent in read.items() if sent.having[field]]
        # The settings alone judge a source whose requests are not stored, or were not read.
        known = {copies.source for copies in read}
        for source in sorted(self.senders.get((pixel, event), set()) - known):
            endpoint = self._endpoint_without(field, source, pixel, event)
            if endpoint is None:
                others.append(source)
            else:
                lacking.append(SentCopies(pixel, event, source, endpoint))
        return lacking, others

    def _read(self, pixel: str, event: str) -> Mapping[SentCopies, SentFields]:
        return {
            copies: sent
            for copies, sent in sorted(self.sent.fields.items())
            if (copies.pixel, copies.event) == (pixel, event)
        }

    def _endpoint_without(self, field: str, source: str, pixel: str, event: str) -> Endpoint | None:
        """Return the only endpoint of a source, if its format has no such field."""
        if source == X_SOURCE:
            return Endpoint.X_API if field in _NOT_IN_X else None
        for each in self.settings.submitters:
            if each.name == source and (each.key or each.stored_keys or each.origins):
                return None
        webhooks = list(self._webhooks(source, pixel, event))
        is_lacking = bool(webhooks) and all(_cannot_send(each, field) for each in webhooks)
        return Endpoint.WEBHOOK if is_lacking else None

    def _webhooks(self, source: str, pixel: str, event: str) -> Iterator[IncomingWebhook[Any]]:
        for destination in self.settings.destinations():
            if destination.pixel == pixel:
                yield from (
                    each
                    for each in self.settings.webhooks
                    if each.source == source and destination.events.get(each.event) == event
                )

    def _lacking(
        self,
        rule: ValueRule,
        field: str,
        event: str,
        *,
        lacking: Sequence[SentCopies],
        others: Sequence[str],
    ) -> CheckFinding:
        sources = ", ".join(map(_shown, lacking))
        senders = ", ".join(others)
        remedy = self._fix(field, lacking[0])
        return warning(
            "values",
            f"the rule {rule.name} reads {field} of {event}, and the source {sources} does not "
            "send it",
            f"{senders} may. The amount of a conversion that both send depends on which copy "
            "arrives first.",
            f"{remedy}, or leave {field} out of the rule.",
        )

    def _fix(self, field: str, copies: SentCopies) -> str:
        pixel, event, source, endpoint = copies
        name = f"contents[].{field}" if field in FIELDS_OF_LINES else field
        if endpoint is Endpoint.BEACON:
            return f"Add {name} to the calls of twite() in the pages of {source}"
        if endpoint in _OF_X and field in _NOT_IN_X:
            return f"X's own format has no {name}: send the event with POST /v1/conversions"
        for webhook in self._webhooks(source, pixel, event):
            if endpoint is Endpoint.WEBHOOK and webhook.kind.lacks is None:
                return f"Add {name} to the map of the webhook {webhook.name}"
            if endpoint is Endpoint.WEBHOOK and _cannot_send(webhook, field):
                return f"Let only others send the event: {webhook.kind.name} has no {name}"
        return f"Send {name} from {source}"


def _amount(copy: SentCopy, result: RuleResult) -> str:
    value, currency = result.conversion.value, result.conversion.currency
    shown = "no amount" if value is None else f"{value} {currency or 'without a currency'}"
    return f"{shown} from {_shown(copy.copies)}"


def _shown(copies: SentCopies) -> str:
    return f"{copies.source} ({copies.endpoint.value})"


def _cannot_send(webhook: IncomingWebhook[Any], field: str) -> bool:
    """Return whether no message of a webhook has a field."""
    wanted = {"contents"} if field in FIELDS_OF_LINES | {"quantity"} else {field}
    if webhook.kind.lacks is None:
        return wanted.isdisjoint(webhook.options.map)
    return not wanted.isdisjoint(webhook.kind.lacks)
