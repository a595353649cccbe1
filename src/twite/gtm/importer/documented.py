"""How each documented key of each part is imported. Every key that Google documents is listed.

Source: the resources of the Tag Manager API, version 2, which exports spell in capitals
(developers.google.com/tag-platform/tag-manager/api/v2/reference, and its discovery document);
`transformation`, `galleryTemplateId` and `templateDeveloperId` from the pages alone. Some keys
(`firingRuleId`, `blockingRuleId`, `isWeakReference`) are in the one and no longer in the other.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec


class KeyTreatment(StrEnum):
    DONE = "done"  # it is imported
    NOTED = "noted"  # it is dropped, and the part's report line says so
    PAUSED = "paused"  # it restricts when a tag fires, and is dropped: the tag is paused
    LEFT_OUT = "left out"  # it would change when or what is sent: the part is left out
    IDLE = "nothing to do"  # it does not affect execution


class DocumentedKey(msgspec.Struct, frozen=True):
    treatment: KeyTreatment
    how: str = ""


def _done(how: str = "") -> DocumentedKey:
    return DocumentedKey(KeyTreatment.DONE, how)


def _keys(*names: str, treatment: KeyTreatment, how: str = "") -> dict[str, DocumentedKey]:
    return dict.fromkeys(names, DocumentedKey(treatment, how))


_WEB: Final = "only for web pages"
_APPS: Final = "only for mobile apps"
_WHERE: Final = _keys(
    "path",
    "accountId",
    "containerId",
    "workspaceId",
    "fingerprint",
    "tagManagerUrl",
    treatment=KeyTreatment.IDLE,
    how="location within Google Tag Manager",
)
_PEOPLE: Final = {
    "notes": DocumentedKey(KeyTreatment.IDLE, "comments: counted in the report, not kept")
} | {"parentFolderId": DocumentedKey(KeyTreatment.IDLE, "folders only organize parts")}
_PART: Final = {"name": _done("names are kept"), "type": _done("by the tables of types")}

_TAG: Final = {
    **_PART,
    "tagId": DocumentedKey(KeyTreatment.IDLE, "other parts refer to it by name"),
    "parameter": _done("the template's fields"),
    "firingTriggerId": _done(
        "`triggers`; a tag without a trigger never fires, and the report says so"
    ),
    "blockingTriggerId": _done("`unless`; if an exception is left out, so is the tag"),
    "priority": _done("`priority`; a non-integer counts as 0 and is noted"),
    "setupTag": _done("`setup`, with `stopOnSetupFailure`"),
    "teardownTag": _done("`teardown`, with `stopTeardownOnFailure`"),
    "tagFiringOption": _done(
        "`firing`; *once per page load* means once per event; *once per event* "
        "does not count runs as the setup or teardown of another tag"
    ),
    "paused": _done("`paused`"),
    "consentSettings": _done("`consent`"),
    "liveOnly": _done("a gateway is always live"),
    "scheduleStartMs": _done("`starts_at`; if it is not a time, the tag is paused"),
    "scheduleEndMs": _done("`ends_at`; if it is not a time, the tag is paused"),
    "monitoringMetadata": DocumentedKey(
        KeyTreatment.NOTED, "Twite passes no metadata to addEventCallback"
    ),
    "monitoringMetadataTagNameKey": DocumentedKey(
        KeyTreatment.NOTED, "Twite passes no metadata to addEventCallback"
    ),
    "firingRuleId": DocumentedKey(KeyTreatment.LEFT_OUT, "only in version 1 of the API"),
    "blockingRuleId": DocumentedKey(KeyTreatment.LEFT_OUT, "only in version 1 of the API"),
    **_PEOPLE,
    **_WHERE,
}
_TRIGGER: Final = {
    **_PART,
    "triggerId": _done("tags refer to it"),
    "customEventFilter": _done("`when`"),
    "filter": _done("`when`"),
    **_keys(
        "autoEventFilter",
        "checkValidation",
        "continuousTimeMinMilliseconds",
        "eventName",
        "horizontalScrollPercentageList",
        "interval",
        "intervalSeconds",
        "limit",
        "maxTimerLengthSeconds",
        "selector",
        "totalTimeMinMilliseconds",
        "uniqueTriggerId",
        "verticalScrollPercentageList",
        "visibilitySelector",
        "visiblePercentageMax",
        "visiblePercentageMin",
        "waitForTags",
        "waitForTagsTimeout",
        treatment=KeyTreatment.LEFT_OUT,
        how=_WEB,
    ),
    "parameter": DocumentedKey(
        KeyTreatment.LEFT_OUT, "only triggers of web pages, and groups, have parameters"
    ),
    **_PEOPLE,
    **_WHERE,
}
_VARIABLE: Final = {
    **_PART,
    "variableId": DocumentedKey(KeyTreatment.IDLE, "other parts refer to it by name"),
    "parameter": _done("by the type"),
    "formatValue": _done("`format`"),
    "scheduleStartMs": DocumentedKey(
        KeyTreatment.LEFT_OUT, "Twite cannot limit a variable to a time span"
    ),
    "scheduleEndMs": DocumentedKey(
        KeyTreatment.LEFT_OUT, "Twite cannot limit a variable to a time span"
    ),
    "enablingTriggerId": DocumentedKey(KeyTreatment.LEFT_OUT, _APPS),
    "disablingTriggerId": DocumentedKey(KeyTreatment.LEFT_OUT, _APPS),
    **_PEOPLE,
    **_WHERE,
}
RESOURCES: Final[Mapping[str, Mapping[str, DocumentedKey]]] = MappingProxyType(
    {
        "export": {
            "exportFormatVersion": _done("only 2 is supported"),
            "containerVersion": _done("by the tables of its parts"),
            "exportTime": DocumentedKey(KeyTreatment.IDLE, "when it was exported"),
        },
        "containerVersion": {
            **_keys(
                "container",
                "customTemplate",
                "builtInVariable",
                "variable",
                "trigger",
                "tag",
                "client",
                "transformation",
                treatment=KeyTreatment.DONE,
                how="by the tables of its parts",
            ),
            "containerVersionId": _done("`version`"),
            "name": _done("`name`, where the container has none"),
            "folder": DocumentedKey(KeyTreatment.NOTED, "folders only organize parts"),
            "zone": DocumentedKey(KeyTreatment.LEFT_OUT, "it belongs to web containers"),
            "gtagConfig": DocumentedKey(KeyTreatment.LEFT_OUT, "it belongs to web containers"),
            "description": DocumentedKey(KeyTreatment.IDLE, "for people"),
            "deleted": DocumentedKey(KeyTreatment.NOTED, "this version was deleted at Google"),
            **_WHERE,
        },
        "container": {
            **_WHERE,
            "containerId": _done("part of the type names of templates"),
            "name": _done("`name`"),
            "publicId": _done("`public_id`"),
            "usageContext": _done("only SERVER is accepted"),
            "taggingServerUrls": DocumentedKey(
                KeyTreatment.NOTED, "the old URLs; set server.public_url instead"
            ),
            "domainName": DocumentedKey(KeyTreatment.NOTED, "set origins of a [[source]] instead"),
            "notes": DocumentedKey(KeyTreatment.IDLE, "for people"),
            "tagIds": DocumentedKey(KeyTreatment.IDLE, "the ids of the container itself"),
            "features": DocumentedKey(KeyTreatment.IDLE, "features of Google's editor"),
        },
        "customTemplate": {
            "templateId": _done("part of the type names of parts"),
            "name": _done("names are kept"),
            "templateData": _done("a `.tpl` file, unchanged"),
            "galleryReference": _done("part of the type names of parts"),
            **_WHERE,
        },
        "galleryReference": {
            "galleryTemplateId": _done("part of the type names of parts"),
            "isModified": _done(
                "unmodified gallery templates are public and not searched for secrets"
            ),
            **_keys(
                "host",
                "owner",
                "repository",
                "version",
                "signature",
                "templateDeveloperId",
                treatment=KeyTreatment.IDLE,
                how="where the template came from",
            ),
        },
        "builtInVariable": {**_PART, **_WHERE},
        "variable": _VARIABLE,
        "formatValue": {
            "caseConversionType": _done("`case`"),
            "convertNullToValue": _done("`instead`"),
            "convertUndefinedToValue": _done("`instead`"),
            "convertTrueToValue": _done("`instead`"),
            "convertFalseToValue": _done("`instead`"),
        },
        "trigger": _TRIGGER,
        "condition": {
            "type": _done("by the table of operators"),
            "parameter": _done("`arg0`, `arg1`, `negate`, `ignore_case`; left out with other keys"),
        },
        "tag": _TAG,
        "setupTag": {"tagName": _done(), "stopOnSetupFailure": _done("`needed`")},
        "teardownTag": {"tagName": _done(), "stopTeardownOnFailure": _done("`needed`")},
        "consentSettings": {
            "consentStatus": _done("`NEEDED` requires consent; other values do not"),
            "consentType": _done("the signals that must be granted"),
        },
        "client": {
            **_PART,
            "clientId": DocumentedKey(KeyTreatment.IDLE, "nothing refers to it"),
            "parameter": _done("the template's fields; noted for Google's own clients"),
            "priority": _done("`priority`"),
            **_PEOPLE,
            **_WHERE,
        },
        "transformation": {
            **_PART,
            "transformationId": DocumentedKey(KeyTreatment.IDLE, "nothing refers to it"),
            "parameter": _done("by the type; left out with parameters of another type"),
            **_PEOPLE,
            **_WHERE,
        },
        "parameter": {
            "type": _done(),
            "key": _done(),
            "value": _done(),
            "list": _done(),
            "map": _done(),
            "isWeakReference": DocumentedKey(KeyTreatment.IDLE, "only for Google's editor"),
        },
        "folder": {
            "folderId": DocumentedKey(KeyTreatment.IDLE, "folders only organize parts"),
            "name": _done("named in the report"),
            "notes": _PEOPLE["notes"],
            **_WHERE,
        },
        "zone": {
            "name": _done("named in the report"),
            **_keys(
                "zoneId",
                "boundary",
                "childContainer",
                "typeRestriction",
                treatment=KeyTreatment.LEFT_OUT,
                how="with its zone",
            ),
            "notes": _PEOPLE["notes"],
            **_WHERE,
        },
        "gtagConfig": {
            **_keys(
                "gtagConfigId",
                "type",
                "parameter",
                treatment=KeyTreatment.LEFT_OUT,
                how="with its gtagConfig",
            ),
            **_WHERE,
        },
    }
)
