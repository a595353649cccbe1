"""What a problem means, what to do about it, and whose turn it is, by cause, X's field, or code."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.cause import CONSENT_CAUSES, DeliveryCause
from twite.domain.conversion import DECIMALS
from twite.domain.delivery import State
from twite.domain.fault import CODES, ROW_CODES
from twite.domain.fixes import fix_of
from twite.domain.history import History
from twite.domain.stats.match_keys import FLAWS
from twite.domain.stats.value_guard import MEANING, UnusualAmount
from twite.gateway.operations.edit import DROPPABLE, Edit
from twite.gateway.operations.explain import flat
from twite.gateway.operations.refused_time import REFUSED_TIME, no_replay, refused_field

_OPERATOR: Final = "an operator"
_SENDER: Final = "the sender"
NOBODY: Final = "nobody"
_LONGEST_FIELD: Final = 40
_COMPARE: Final = (
    "Look for one of them in X's Events Manager. If X lacks it, send them; if not, discard them."
)


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """A problem in plain words. `edit` is how its conversions can be corrected before a replay.

    `asks_currency` is whether the user must choose the currency, `about_events` whether the fix is
    in the events of a pixel. `no_replay` says why no replay helps, and what does; "" if one may.
    """

    what: str
    fix: str
    waits_for: str = _OPERATOR
    edit: Edit = Edit()
    asks_currency: bool = False
    about_events: bool = False
    no_replay: str = ""

    def fix_for(self, *, may_act: bool) -> str:
        """Return the fix for a user who may, or may not, do what an operator does."""
        if may_act or self.waits_for != _OPERATOR:
            return self.fix
        return f"An operator can do this: {self.fix[:1].lower()}{self.fix[1:]}"


_BY_CAUSE: Final[Mapping[DeliveryCause, Remedy]] = {
    DeliveryCause.EVENT_UNKNOWN: Remedy(
        what="X does not know the event",
        fix="Correct events in twite.toml, run twite reload, and send with the current mapping.",
        edit=Edit(today=True),
        about_events=True,
    ),
    DeliveryCause.REFUSED: Remedy(
        what="X refused the conversion",
        fix="Correct what X's message names, here and at the source, and send it again.",
    ),
    DeliveryCause.REFUSED_ALIKE: Remedy(
        what="X refuses this event's conversions alike, so they wait",
        fix="Check the event in X's Events Manager. Twite sends them once X accepts the event.",
        waits_for="X, or an admin of the event",
    ),
    DeliveryCause.FAILED: Remedy(
        what="A tag could not run, or failed too often",
        fix="Open a tag preview to see why, correct the tag, and send these again.",
    ),
    DeliveryCause.SENDER_STOPPED: Remedy(
        what="The sender stopped repeatedly while it sent this conversion",
        fix="Report it with the log. Discard the conversion, or send it again.",
    ),
    DeliveryCause.DAMAGED: Remedy(
        what="The stored conversion is damaged",
        fix="Send the conversion again from its source, and discard this copy.",
    ),
    DeliveryCause.MAY_COUNT_TWICE: Remedy(what="X may already have the conversion", fix=_COMPARE),
    DeliveryCause.STORE_RESTORED: Remedy(
        what="The store is an older copy, so X may have these", fix=_COMPARE
    ),
    DeliveryCause.STORE_RECOVERED: Remedy(
        what="The store was damaged, so X may have these", fix=_COMPARE
    ),
    DeliveryCause.WAITED_TOO_LONG: Remedy(
        what="The conversion waited too long to be sent",
        fix="Remove what had stopped the sending, such as a pause. Send them if they still count.",
    ),
    DeliveryCause.AMOUNT_ZERO: Remedy(
        what="The amount is zero, although the event usually has one",
        fix="Send the order when its total is known. Send these, or discard them.",
    ),
    DeliveryCause.AMOUNT_MINOR_UNITS: Remedy(
        what="The amount is probably in minor units, such as cents",
        fix="Convert the amount at the source. Divide these before you send them.",
        edit=Edit(divide=100),
    ),
    DeliveryCause.AMOUNT_OUTLIER: Remedy(
        what="The amount is far from the usual one",
        fix="Look at the orders: a test, a bulk order, or a wrong decimal point.",
    ),
    DeliveryCause.AMOUNT_CURRENCY: Remedy(
        what="The currency is unusual for the event",
        fix="If the shop now sells in this currency, send them: Twite learns it after five.",
        asks_currency=True,
    ),
    **dict.fromkeys(
        CONSENT_CAUSES,
        Remedy(
            what="The person's consent is missing or unclear",
            fix="Correct the consent signal at the source. Send these only if you have consent.",
        ),
    ),
}
_TIME_AHEAD: Final = Remedy(
    what="X does not accept the time",
    fix="Set the clock of the sender: the time was ahead. Send these when their time has come.",
    waits_for=_SENDER,
)
_OTHERWISE: Final = Remedy(
    what="The conversion waits for a decision", fix="Send it again, or discard it."
)
# By the field that X names [doc WEB]; X documents no others.
_BY_FIELD: Final[Mapping[str, Remedy]] = {
    "event_id": Remedy(
        what="X does not accept the event id",
        fix="Use the id of a single event of the pixel's account, not the id of the pixel.",
        edit=Edit(today=True),
        about_events=True,
    ),
    "hashed_email": Remedy(
        what="X found no SHA-256 digest in the email",
        fix="Send the email unhashed, or 64 lower-case hexadecimal digits. Send these without it.",
        edit=Edit(drop=("hashed_email",)),
    ),
    "conversion_time": Remedy(
        what="X does not accept the time",
        fix="Send times with a zone, such as 2026-11-24T10:00:00.000Z, and send orders soon.",
        waits_for=_SENDER,
        no_replay=REFUSED_TIME,
    ),
    "price_currency": Remedy(
        what="X does not accept the currency",
        fix="Choose the currency of these, and send it with each value.",
        asks_currency=True,
    ),
    "": Remedy(
        what="X found no identifier it accepts",
        fix="Send a click id, an email, a phone number, or IP address and user agent together.",
        waits_for=_SENDER,
    ),
}


def remedy_of(cause: DeliveryCause | None, state: State, history: History | None = None) -> Remedy:
    """Return the remedy for dead or held deliveries, of which `history` is one."""
    otherwise = _BY_CAUSE[DeliveryCause.REFUSED] if state is State.DEAD else _OTHERWISE
    found = otherwise if cause is None else _BY_CAUSE.get(cause, otherwise)
    if cause is DeliveryCause.AMOUNT_MINOR_UNITS and history is not None:
        decimals = DECIMALS.get(str(flat(history.sent).get("price_currency")), 2)
        return msgspec.structs.replace(found, edit=Edit(divide=10**decimals))
    name = None if history is None else refused_field(history)
    if history is None or name is None:
        return found
    if name == "conversion_time" and no_replay(history) is None:
        return _TIME_AHEAD
    if name in _BY_FIELD:
        return _BY_FIELD[name]
    shown = name[:_LONGEST_FIELD]
    drops = (name,) if name in DROPPABLE else ()
    return Remedy(
        what=f"X refuses the field {shown}",
        fix=f"Correct {shown} at the source. Send these without it, or with a correct value.",
        edit=Edit(drop=drops),
    )


def remedy_of_code(code: str) -> Remedy:
    """Return the remedy for conversions rejected at intake."""
    means, _ = FLAWS.get(code, (CODES.get(code) or ROW_CODES.get(code, code), ""))
    fix = fix_of(code)
    waits_for = NOBODY if fix.startswith("Nothing") else _SENDER
    return Remedy(
        what=f"{means[:1].upper()}{means[1:]}",
        fix=fix,
        waits_for=waits_for,
        about_events=code == "event_unknown",
    )


def remedy_of_amount(kind: str) -> Remedy:
    """Return the remedy for unusual amounts that were sent."""
    known = kind in set(UnusualAmount)
    # Twite learns the currency by itself.
    waits_for = NOBODY if kind == UnusualAmount.CURRENCY else _SENDER
    means, fix = MEANING[UnusualAmount(kind)] if known else (kind, "")
    return Remedy(
        what=f"{means[:1].upper()}{means[1:]}",
        fix=f"{fix[:1].upper()}{fix[1:]}.",
        waits_for=waits_for,
    )
