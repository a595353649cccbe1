"""The names that the OpenAPI document has for the shapes of answers.

Clients that were generated from it have types of these names, whatever a class is called now.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from twite.collector.answers import Errors, Wrong
from twite.collector.beacon import SomeRejected
from twite.collector.choices import Noted
from twite.collector.desk import Done, Order
from twite.collector.lives import BalanceBy, BalanceOf, IgnoredBy, ToldLife, ToldTag, TriedOnce
from twite.collector.native import Receipted, Rejected
from twite.collector.rejections import Rejections, ToldRejection
from twite.collector.x_api import XError, XErrors, XParams, XProcessed, XRequestEcho, XSuccess
from twite.domain.delivery import State
from twite.domain.fault import Fault, MaskedFault
from twite.domain.people import Deed
from twite.gateway.entries import Remark, Suppressed
from twite.gateway.erasing import Cut, Erasing, Text
from twite.gateway.overlap import PairOf, WaysBy, WaysOf
from twite.intake.choice import Choice

COMPONENT: Final = "#/components/schemas/{name}"
NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        Receipted: "Receipted",
        Rejected: "Rejected",
        Fault: "Fault",
        Remark: "Remark",
        Suppressed: "Suppressed",
        SomeRejected: "SomeRejected",
        ToldLife: "ToldLife",
        State: "State",
        TriedOnce: "TriedOnce",
        ToldTag: "ToldTag",
        BalanceBy: "BalanceBy",
        BalanceOf: "BalanceOf",
        IgnoredBy: "IgnoredBy",
        WaysBy: "WaysBy",
        WaysOf: "WaysOf",
        PairOf: "PairOf",
        XSuccess: "XSuccess",
        XRequestEcho: "XRequestEcho",
        XParams: "XParams",
        XProcessed: "XProcessed",
        XErrors: "XErrors",
        XError: "XError",
        Rejections: "Rejections",
        ToldRejection: "ToldRejection",
        MaskedFault: "MaskedFault",
        Order: "Order",
        Deed: "Deed",
        Erasing: "Erasing",
        Cut: "Cut",
        Text: "Text",
        Done: "Done",
        Noted: "Noted",
        Choice: "Choice",
        Errors: "Errors",
        Wrong: "Wrong",
    }
)


def component_schemas() -> dict[str, Any]:
    """Return the schema of each shape, by its published name."""
    _, found = msgspec.json.schema_components(NAMES, ref_template=COMPONENT)
    published = {shape.__name__: name for shape, name in NAMES.items()}
    renamed = re.sub(
        COMPONENT.format(name=r"(\w+)"),
        lambda match: COMPONENT.format(name=published[match[1]]),
        msgspec.json.encode(found).decode(),
    )
    schemas = msgspec.json.decode(renamed, type=dict[str, Any])
    return {
        published[class_name]: schema | {"title": published[class_name]}
        for class_name, schema in schemas.items()
    }
