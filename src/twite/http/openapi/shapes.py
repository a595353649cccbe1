"""OpenAPI: the published name of each response schema.

Generated clients have types of these names, so they stay when a class is renamed.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from twite.domain.delivery import State
from twite.domain.fault import MaskedFault, ReportedFault
from twite.domain.people.account_changes import Result
from twite.domain.people.users import AuditEvent
from twite.formats.consent_choice import ConsentChoice
from twite.formats.native.answers import (
    ErrorBody,
    ErrorDetail,
    IdentifierWarning,
    NativeReceipt,
    RejectedItem,
    Suppressed,
)
from twite.gateway.operations.control import ControlCommand, ControlResult
from twite.gateway.operations.dedup_report import EventPathCounts, PairOf, PathCountsBy
from twite.gateway.ports.privacy import ErasedText, EraseStore, SearchText
from twite.http.routes.beacon import SomeRejected
from twite.http.routes.consent import ChoiceNoted
from twite.http.routes.conversions import (
    AttemptView,
    BalanceBy,
    BalanceOf,
    HistoryView,
    IgnoredBy,
    TagView,
)
from twite.http.routes.rejections import RejectionList, RejectionView
from twite.http.routes.x_api import XError, XErrors, XParams, XProcessed, XRequestEcho, XSuccess

COMPONENT: Final = "#/components/schemas/{name}"
NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        NativeReceipt: "Receipted",
        RejectedItem: "Rejected",
        ReportedFault: "Fault",
        IdentifierWarning: "Remark",
        Suppressed: "Suppressed",
        SomeRejected: "SomeRejected",
        HistoryView: "ToldLife",
        State: "State",
        AttemptView: "TriedOnce",
        TagView: "ToldTag",
        BalanceBy: "BalanceBy",
        BalanceOf: "BalanceOf",
        IgnoredBy: "IgnoredBy",
        PathCountsBy: "WaysBy",
        EventPathCounts: "WaysOf",
        PairOf: "PairOf",
        XSuccess: "XSuccess",
        XRequestEcho: "XRequestEcho",
        XParams: "XParams",
        XProcessed: "XProcessed",
        XErrors: "XErrors",
        XError: "XError",
        RejectionList: "Rejections",
        RejectionView: "ToldRejection",
        MaskedFault: "MaskedFault",
        ControlCommand: "Order",
        AuditEvent: "Deed",
        EraseStore: "Erasing",
        ErasedText: "Cut",
        SearchText: "Text",
        ControlResult: "Done",
        Result: "AccountResult",
        ChoiceNoted: "Noted",
        ConsentChoice: "Choice",
        ErrorBody: "Errors",
        ErrorDetail: "Wrong",
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
