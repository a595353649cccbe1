"""What the sender of a conversion can do about each fault, for the console and the debugger."""

from collections.abc import Mapping
from typing import Final

from twite.domain.stats.match_keys import FLAWS

# By code. FLAWS has those of identifiers.
_BY_CODE: Final[Mapping[str, str]] = {
    "amount_ambiguous": "Write amounts with a point and no thousands, or set decimal.",
    "amount_negative": "Send refunds to no one: X has no field for them.",
    "amount_too_large": "Send the amount in the currency's main unit.",
    "cells_missing": "Write the file again: it may have been cut off.",
    "cells_too_many": "Put cells that contain the separator in quotes.",
    "consent_unreadable": "Write granted or denied.",
    "control_character": "Remove line breaks and other control characters from the text.",
    "currency_conflict": "Correct the currency's column or its sign at the amount.",
    "currency_missing": "Send the currency with each value.",
    "currency_unknown": "Send a code of three letters, such as EUR.",
    "duplicate_key": "Write each key once.",
    "event_missing": "Send the name of an event of the pixel.",
    "event_unknown": "Add the event to events in twite.toml, or correct its name at the source.",
    "id_is_a_person": "Send an order number as the conversion id.",
    "id_missing": "Give each row its order id, or leave the row out.",
    "id_rounded": "Write the ids as text: a spreadsheet cut off their last digits.",
    "id_shared": "Map the column that differs for each order to conversion_id.",
    "name_differs": "Give a field the same name in all rows.",
    "not_a_count": "Send a whole number above zero.",
    "not_a_time": "Send a time with a zone.",
    "not_an_amount": "Send a decimal number, such as 49.90.",
    "not_sent": "Read the message, correct the row, and send it again.",
    "number_inexact": "Make the column a decimal number, a whole number or text.",
    "older_than_memory": "Send older rows only if the gateway never received them.",
    "pixel_unknown": "Add the pixel to the source in twite.toml, or correct it at the source.",
    "text_too_long": "Shorten the text.",
    "time_missing": "Add the time of the row.",
    "time_in_future": "Correct the clock, or the unit of the time.",
    "too_deep": "Send the fields as documented, without further nesting.",
    "too_large": "Shorten the texts of the row, or send fewer products.",
    "too_many": "Send fewer conversions in each request.",
    "unknown_field": "Correct the field's name, which the message suggests.",
    "wrong_type": "Send the type that the message names.",
}


def fix_of(code: str) -> str:
    """Return the fix as a sentence; "" for an unknown code."""
    _, fix = FLAWS.get(code, ("", ""))
    return _BY_CODE.get(code) or (f"{fix[:1].upper()}{fix[1:]}." if fix else "")
