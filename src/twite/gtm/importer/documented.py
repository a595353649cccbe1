"""How each documented key of each part is imported. Every key that Google documents is listed.

Source: the resources of the Tag Manager API, version 2, which exports spell in capitals
(developers.google.com/tag-platform/tag-manager/api/v2/reference, and its discovery document);
`transformation`, `galleryTemplateId` and `templateDeveloperId` are only in the pages. Some keys
(`firingRuleId`, `blockingRuleId`, `isWeakReference`) are in only one of the two sources.
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


_WEB: Final = "applies only to web pages"
_APPS: Final = "applies only to mobile apps"
_WHERE: Final = _keys(
    "path",
    "accountId",
    "containerId",
    "workspaceId",
    "fingerprint",
    "tagManagerUrl",
    treatment=KeyTreatment.IDLE,
    how="the place of the part in Google Tag Manager",
)
_PEOPLE: Final = {
    "notes": DocumentedKey(
        KeyTreatment.IDLE, "comments, which Twite does not keep; the report counts them"
    )
} | {"parentFolderId": DocumentedKey(KeyTreatment.IDLE, "folders only organize parts")}
_PART: Final = {
    "name": _done("Twite keeps the name"),
    "type": _done("see the type tables above"),
}

_TAG: Final = {
    **_PART,
    "tagId": DocumentedKey(
        KeyTreatment.IDLE, "in Twite, other parts refer to this part by its name"
    ),
    "parameter": _done("the template's fields"),
    "firingTriggerId": _done(
        "`triggers`; the report lists each tag without a trigger, because such a tag never fires"
    ),
    "blockingTriggerId": _done(
        "`unless`; if Twite leaves out an exception, it also leaves out the tag"
    ),
    "priority": _done(
        "`priority`; if the value is not an integer, Twite uses 0, and the report notes it"
    ),
    "setupTag": _done("`setup`, with `stopOnSetupFailure`"),
    "teardownTag": _done("`teardown`, with `stopTeardownOnFailure`"),
    "tagFiringOption": _done(
        "`firing`; Twite treats *once per page load* as once per event. Runs as the setup or "
        "teardown of another tag count"
    ),
    "paused": _done("`paused`"),
    "consentSettings": _done("`consent`"),
    "liveOnly": _done("a gateway is always live, so the tag can fire"),
    "scheduleStartMs": _done(
        "`starts_at`; if the value is not a time in milliseconds, Twite pauses the tag"
    ),
    "scheduleEndMs": _done(
        "`ends_at`; if the value is not a time in milliseconds, Twite pauses the tag"
    ),
    "monitoringMetadata": DocumentedKey(
        KeyTreatment.NOTED, "Twite passes no metadata to addEventCallback"
    ),
    "monitoringMetadataTagNameKey": DocumentedKey(
        KeyTreatment.NOTED, "Twite passes no metadata to addEventCallback"
    ),
    "firingRuleId": DocumentedKey(KeyTreatment.LEFT_OUT, "exists only in version 1 of the API"),
    "blockingRuleId": DocumentedKey(KeyTreatment.LEFT_OUT, "exists only in version 1 of the API"),
    **_PEOPLE,
    **_WHERE,
}
_TRIGGER: Final = {
    **_PART,
    "triggerId": _done("tags refer to the trigger by this id"),
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
    "parameter": _done(
        "`all_of` of a trigger group; Twite leaves out other triggers that have parameters"
    ),
    **_PEOPLE,
    **_WHERE,
}
_VARIABLE: Final = {
    **_PART,
    "variableId": DocumentedKey(
        KeyTreatment.IDLE, "in Twite, other parts refer to this part by its name"
    ),
    "parameter": _done("depends on the variable's type"),
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
            "exportFormatVersion": _done("Twite supports only 2"),
            "containerVersion": _done("see the tables of its parts below"),
            "exportTime": DocumentedKey(KeyTreatment.IDLE, "the time of the export"),
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
                how="see the tables of its parts below",
            ),
            "containerVersionId": _done("`version`"),
            "name": _done("`name`, if the container has no name"),
            "folder": DocumentedKey(KeyTreatment.NOTED, "folders only organize parts"),
            "zone": DocumentedKey(KeyTreatment.LEFT_OUT, "supported only in web containers"),
            "gtagConfig": DocumentedKey(KeyTreatment.LEFT_OUT, "supported only in web containers"),
            "description": DocumentedKey(KeyTreatment.IDLE, "for people"),
            "deleted": DocumentedKey(KeyTreatment.NOTED, "this version was deleted at Google"),
            **_WHERE,
        },
        "container": {
            **_WHERE,
            "containerId": _done("identifies the template in the `cvt_…` types of other parts"),
            "name": _done("`name`"),
            "publicId": _done("`public_id`"),
            "usageContext": _done("Twite accepts only SERVER"),
            "taggingServerUrls": DocumentedKey(
                KeyTreatment.NOTED, "the old URLs; set server.public_url instead"
            ),
            "domainName": DocumentedKey(KeyTreatment.NOTED, "set origins in a [[source]] instead"),
            "notes": DocumentedKey(KeyTreatment.IDLE, "for people"),
            "tagIds": DocumentedKey(KeyTreatment.IDLE, "the ids of the container itself"),
            "features": DocumentedKey(KeyTreatment.IDLE, "features of Google's editor"),
        },
        "customTemplate": {
            "templateId": _done("identifies the template in the `cvt_…` types of other parts"),
            "name": _done("Twite keeps the name"),
            "templateData": _done("written unchanged to a `.tpl` file"),
            "galleryReference": _done(
                "identifies the template in the `cvt_…` types of other parts"
            ),
            **_WHERE,
        },
        "galleryReference": {
            "galleryTemplateId": _done(
                "identifies the template in the `cvt_…` types of other parts"
            ),
            "isModified": _done(
                "Twite does not search unmodified gallery templates for secrets, because they are "
                "public"
            ),
            **_keys(
                "host",
                "owner",
                "repository",
                "version",
                "signature",
                "templateDeveloperId",
                treatment=KeyTreatment.IDLE,
                how="the template's origin",
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
            "type": _done("see the table of operators above"),
            "parameter": _done(
                "Twite reads `arg0`, `arg1`, `negate` and `ignore_case`; with any other key, it "
                "leaves out the part"
            ),
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
            "clientId": DocumentedKey(KeyTreatment.IDLE, "no other part refers to this id"),
            "parameter": _done(
                "the template's fields; for Google's own clients, the report only notes them"
            ),
            "priority": _done("`priority`"),
            **_PEOPLE,
            **_WHERE,
        },
        "transformation": {
            **_PART,
            "transformationId": DocumentedKey(KeyTreatment.IDLE, "no other part refers to this id"),
            "parameter": _done(
                "depends on the type; Twite leaves out a transformation with parameters of "
                "another type"
            ),
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
            "name": _done("the report shows the name"),
            "notes": _PEOPLE["notes"],
            **_WHERE,
        },
        "zone": {
            "name": _done("the report shows the name"),
            **_keys(
                "zoneId",
                "boundary",
                "childContainer",
                "typeRestriction",
                treatment=KeyTreatment.LEFT_OUT,
                how="Twite leaves out the whole zone",
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
                how="Twite leaves out the whole gtagConfig",
            ),
            **_WHERE,
        },
    }
)
