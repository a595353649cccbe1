"""How each documented key of each part is imported. Every key that Google documents is listed.

Sources: the resources of the Tag Manager API, version 2, in its reference
(developers.google.com/tag-platform/tag-manager/api/v2/reference) and in its discovery document.
Exports spell words in capitals. `transformation`, `galleryTemplateId` and `templateDeveloperId` are
only in the reference; some other keys (`firingRuleId`, `blockingRuleId`, `isWeakReference`) are in
only one of the two sources.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec

_NONE: Final[Mapping[str, str]] = {}
_PLACE: Final = ("path", "accountId", "containerId", "workspaceId", "fingerprint", "tagManagerUrl")
_ONLY_IN_PAGES: Final = (
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
)


class KeyTreatment(StrEnum):
    DONE = "done"  # it is imported
    NOTED = "noted"  # it is dropped, and the report line of the part says so
    LEFT_OUT = "left out"  # it would change when or what is sent: the part is left out
    IDLE = "nothing to do"  # it does not affect execution


class DocumentedKey(msgspec.Struct, frozen=True):
    """How a key is treated, and why. `reason` is "" if it is imported or affects nothing."""

    treatment: KeyTreatment
    reason: str = ""


def _keys(
    *done: str,
    idle: Iterable[str] = _PLACE,
    noted: Mapping[str, str] = _NONE,
    left_out: Mapping[str, str] = _NONE,
) -> Mapping[str, DocumentedKey]:
    """Return the keys of a part. `noted` and `left_out` have the reasons."""
    return {
        **dict.fromkeys(idle, DocumentedKey(KeyTreatment.IDLE)),
        **{key: DocumentedKey(KeyTreatment.NOTED, reason) for key, reason in noted.items()},
        **{key: DocumentedKey(KeyTreatment.LEFT_OUT, reason) for key, reason in left_out.items()},
        **dict.fromkeys(done, DocumentedKey(KeyTreatment.DONE)),
    }


_TAG: Final = _keys(
    "name",
    "type",
    "parameter",
    "firingTriggerId",  # the report lists each tag without a trigger: such a tag never fires
    "blockingTriggerId",  # if Twite leaves out an exception, it also leaves out the tag
    "priority",  # imported as 0, with a note, if the value is not an integer
    "setupTag",
    "teardownTag",
    "tagFiringOption",  # once per page load is imported as once per event
    "paused",
    "consentSettings",
    "liveOnly",  # a gateway is always live
    "scheduleStartMs",  # if the value is not a time in milliseconds, Twite pauses the tag
    "scheduleEndMs",
    idle=("tagId", "notes", "parentFolderId", *_PLACE),
    noted=dict.fromkeys(
        ("monitoringMetadata", "monitoringMetadataTagNameKey"),
        "Twite passes no metadata to addEventCallback",
    ),
    left_out=dict.fromkeys(
        ("firingRuleId", "blockingRuleId"), "exists only in version 1 of the API"
    ),
)
RESOURCES: Final[Mapping[str, Mapping[str, DocumentedKey]]] = {
    "export": _keys("exportFormatVersion", "containerVersion", idle=("exportTime",)),
    "containerVersion": _keys(
        "container",
        "customTemplate",
        "builtInVariable",
        "variable",
        "trigger",
        "tag",
        "client",
        "transformation",
        "containerVersionId",
        "name",  # if the container has no name
        idle=("description", *_PLACE),
        noted={
            "folder": "folders only organize parts",
            "deleted": "this version was deleted in Google Tag Manager",
        },
        left_out=dict.fromkeys(("zone", "gtagConfig"), "supported only in web containers"),
    ),
    "container": _keys(
        "containerId",  # identifies the template in the `cvt_…` types of other parts
        "name",
        "publicId",
        "usageContext",
        idle=("notes", "tagIds", "features", *_PLACE),
        noted={
            "taggingServerUrls": "the old URLs; set server.public_url instead",
            "domainName": "set origins in a [[source]] instead",
        },
    ),
    "customTemplate": _keys("templateId", "name", "templateData", "galleryReference"),
    "galleryReference": _keys(
        "galleryTemplateId",
        "isModified",  # unmodified templates are public, so Twite does not search them for secrets
        idle=("host", "owner", "repository", "version", "signature", "templateDeveloperId"),
    ),
    "builtInVariable": _keys("name", "type"),
    "variable": _keys(
        "name",
        "type",
        "parameter",
        "formatValue",
        idle=("variableId", "notes", "parentFolderId", *_PLACE),
        left_out={
            "scheduleStartMs": "Twite cannot limit a variable to a time span",
            "scheduleEndMs": "Twite cannot limit a variable to a time span",
            "enablingTriggerId": "applies only to mobile apps",
            "disablingTriggerId": "applies only to mobile apps",
        },
    ),
    "formatValue": _keys(
        "caseConversionType",
        "convertNullToValue",
        "convertUndefinedToValue",
        "convertTrueToValue",
        "convertFalseToValue",
        idle=(),
    ),
    "trigger": _keys(
        "name",
        "type",
        "triggerId",
        "customEventFilter",
        "filter",
        "parameter",  # of a trigger group; Twite leaves out other triggers with parameters
        idle=("notes", "parentFolderId", *_PLACE),
        left_out=dict.fromkeys(_ONLY_IN_PAGES, "applies only to web pages"),
    ),
    "condition": _keys("type", "parameter", idle=()),
    "tag": _TAG,
    "setupTag": _keys("tagName", "stopOnSetupFailure", idle=()),
    "teardownTag": _keys("tagName", "stopTeardownOnFailure", idle=()),
    "consentSettings": _keys("consentStatus", "consentType", idle=()),
    "client": _keys(
        "name",
        "type",
        "parameter",
        "priority",
        idle=("clientId", "notes", "parentFolderId", *_PLACE),
    ),
    "transformation": _keys(
        "name",
        "type",
        "parameter",
        idle=("transformationId", "notes", "parentFolderId", *_PLACE),
    ),
    "parameter": _keys("type", "key", "value", "list", "map", idle=("isWeakReference",)),
    "folder": _keys("name", idle=("folderId", "notes", *_PLACE)),
    "zone": _keys(
        "name",
        idle=("notes", *_PLACE),
        left_out=dict.fromkeys(
            ("zoneId", "boundary", "childContainer", "typeRestriction"),
            "Twite leaves out the whole zone",
        ),
    ),
    "gtagConfig": _keys(
        left_out=dict.fromkeys(
            ("gtagConfigId", "type", "parameter"), "Twite leaves out the whole gtagConfig"
        )
    ),
}
