"""Random container exports: parts of all kinds, valid and invalid, in any number."""

import base64
import json
import random
import string

CONTAINER = "190000001"
CODE = """\
const log = require('logToConsole');
log(data.first);
data.gtmOnSuccess();
"""
BASE62 = string.ascii_letters + string.digits
HEX = string.digits + "abcdef"
KNOWN_TYPES = ("c", "ed", "rh", "k", "smm", "remm", "vr", "ctv", "dbg", "r", "jsm", "gsheet")
OPERATORS = ("EQUALS", "CONTAINS", "STARTS_WITH", "MATCH_REGEX", "LESS", "CSS_SELECTOR", "ODD")


def template_text(kind, *, default="", code=CODE, notes="Made for trying."):
    info = {"type": kind, "id": "cvt_temp_public_id", "displayName": "T"}
    info["containerContexts"] = ["SERVER"]
    fields = [{"type": "TEXT", "name": "first", "displayName": "First", "defaultValue": default}]
    return (
        f"___INFO___\n\n{json.dumps(info)}\n\n___TEMPLATE_PARAMETERS___\n\n{json.dumps(fields)}\n\n"
        f"___SANDBOXED_JS_FOR_SERVER___\n\n{code}\n\n___NOTES___\n\n{notes}\n"
    )


class AnyExport:
    """Draws one. The same seed gives the same export."""

    def __init__(self, randomness: random.Random) -> None:
        self._randomness = randomness
        self._id = 10
        self._names = ["_event", "Nobody"]

    def whole(self):
        randomness = self._randomness
        templates = [self._template() for _ in range(randomness.randint(1, 4))]
        version = {
            "path": "accounts/6/containers/190000001/versions/3",
            "containerId": CONTAINER,
            "containerVersionId": "3",
            "container": {"publicId": "GTM-TEST", "name": "Shop", "usageContext": ["SERVER"]},
            "customTemplate": templates,
            "builtInVariable": self._some(self._built_in),
            "variable": self._some(self._variable),
            "trigger": self._some(self._trigger),
        }
        ids = [trigger["triggerId"] for trigger in version["trigger"]] + ["2147479574", "77"]
        version["tag"] = self._some(lambda: self._tag(ids))
        names = [tag["name"] for tag in version["tag"]] + ["Nobody"]
        for tag in version["tag"]:
            if randomness.random() < 0.2:
                key = randomness.choice(["setupTag", "teardownTag"])
                later = [name for name in names if name > tag["name"]]  # in no ring
                tag[key] = [{"tagName": randomness.choice(later or ["Nobody"])}]
        version["client"] = self._some(self._client)
        version["transformation"] = self._some(lambda: self._transformation(names))
        version["folder"] = self._some(lambda: self._named("Folder", "folderId"))
        version["zone"] = self._some(lambda: self._named("Zone", "zoneId"))
        if randomness.random() < 0.2:
            version["novelty"] = [{"name": "New"}]
        return {"exportFormatVersion": 2, "containerVersion": version}

    def _some(self, draw):
        return [draw() for _ in range(self._randomness.randint(0, 4))]

    def _named(self, kind, id_):
        self._id += 1
        # Two in ten share a name, as in exports made by other tools.
        number = self._randomness.choice([self._id] * 8 + [1, 1])
        made = {id_: str(self._id), "name": f"{kind} {number}", "fingerprint": "1"}
        if self._randomness.random() < 0.1:
            made["novelty"] = "x"
        if self._randomness.random() < 0.1:
            made["notes"] = "remember"
        return made

    def _template(self):
        made = self._named("Template", "templateId")
        kind = self._randomness.choice(["TAG", "TAG", "MACRO", "CLIENT"])
        text = template_text(kind)
        if self._randomness.random() < 0.1:
            text = text.replace("___INFO___", "nothing")
        return {**made, "templateId": str(self._randomness.randint(1, 5)), "templateData": text}

    def _word(self):
        return f"cvt_{CONTAINER}_{self._randomness.randint(1, 5)}"

    def _text(self):
        name = "{{" + self._randomness.choice(self._names) + "}}"
        return self._randomness.choice(["purchase", name, f"a {name} b", "", "(", "7"])

    def _parameters(self, *keys):
        return [{"type": "TEMPLATE", "key": key, "value": self._text()} for key in keys]

    def _table(self, key, *columns):
        rows = [{"type": "MAP", "map": self._parameters(*columns)} for _ in range(2)]
        return {"type": "LIST", "key": key, "list": rows}

    def _built_in(self):
        word = self._randomness.choice(["EVENT_NAME", "PAGE_URL", "DEBUG_MODE", "CLICK_URL"])
        self._names.append(word)
        return {"type": word, "name": word}

    def _variable(self):
        made = self._named("Variable", "variableId")
        word = self._randomness.choice([*KNOWN_TYPES, self._word()])
        keys = ("value", "keyPath", "headerName", "name", "input", "first", "defaultValue")
        made |= {"type": word, "parameter": self._parameters(*self._randomness.sample(keys, 4))}
        if word in {"smm", "remm"}:
            made["parameter"].append(self._table("map", "key", "value"))
        if self._randomness.random() < 0.2:
            made["formatValue"] = {
                "caseConversionType": self._randomness.choice(["LOWERCASE", "ODD"])
            }
        self._names.append(made["name"])
        return made

    def _condition(self):
        made = {
            "type": self._randomness.choice(OPERATORS),
            "parameter": self._parameters("arg0", "arg1"),
        }
        if self._randomness.random() < 0.2:
            made["parameter"].append({"type": "BOOLEAN", "key": "negate", "value": "true"})
        return made

    def _trigger(self):
        made = self._named("Trigger", "triggerId")
        word = self._randomness.choice(["CUSTOM_EVENT", "ALWAYS", "SERVER_PAGEVIEW", "LINK_CLICK"])
        made |= {"type": word, "filter": [self._condition()]}
        if self._randomness.random() < 0.2:
            ids = [{"type": "TRIGGER_REFERENCE", "value": "2147479574"}]
            listed = {"type": "LIST", "key": "triggerIds", "list": ids}
            return made | {"type": "TRIGGER_GROUP", "parameter": [listed]}
        if self._randomness.random() < 0.7:
            made["customEventFilter"] = [self._condition()]
        return made

    def _tag(self, ids):
        randomness = self._randomness
        made = self._named("Tag", "tagId")
        made |= {
            "type": randomness.choice([self._word(), self._word(), "sgtmgaaw"]),
            "parameter": [*self._parameters("first"), self._table("rows", "name", "value")],
            "firingTriggerId": randomness.sample(ids, randomness.randint(0, min(2, len(ids)))),
            "blockingTriggerId": randomness.sample(ids, 1) if randomness.random() < 0.2 else [],
            "tagFiringOption": randomness.choice(
                ["ONCE_PER_EVENT", "UNLIMITED", "ONCE_PER_LOAD", "ODD"]
            ),
            "paused": randomness.random() < 0.1,
            "monitoringMetadata": {"type": "MAP"},
        }
        if randomness.random() < 0.1:
            made["scheduleEndMs"] = "1764000000000"
        return made

    def _client(self):
        made = self._named("Client", "clientId")
        word = self._randomness.choice([self._word(), "gaaw_client", "gtm_client", "odd_client"])
        return {**made, "type": word, "parameter": self._parameters("first"), "priority": 1}

    def _transformation(self, names):
        made = self._named("Transformation", "transformationId")
        word, table, columns = self._randomness.choice(
            [
                ("tf_exclude_params", "excludedParamsTable", ("excludedParams",)),
                ("tf_augment_event", "augmentEventTable", ("paramName", "paramValue")),
                ("tf_new", "newTable", ("new",)),
            ]
        )
        held = [self._table(table, *columns)]
        if self._randomness.random() < 0.5:
            reference = self._parameters("tagReference")
            reference[0]["value"] = self._randomness.choice(names)
            rows = [{"type": "MAP", "map": reference}]
            held.append({"type": "LIST", "key": "affectedTags", "list": rows})
        return {**made, "type": word, "parameter": held}


def any_secret(randomness: random.Random) -> tuple[str, str]:
    """Return a text that contains a secret, and that secret."""

    def drawn(signs, length):
        return "".join(randomness.choices(signs, k=length))

    def encoded(length):
        return base64.b64encode(randomness.randbytes(length)).decode()

    key = encoded(48)
    made = {
        "meta": (f"EAA{drawn(BASE62, 60)}",) * 2,
        "stripe": (f"sk_live_{drawn(BASE62, 24)}",) * 2,
        "hex 32": (drawn(HEX, 32),) * 2,
        "hex 40": (drawn(HEX, 40),) * 2,  # TikTok's are such
        "hex 64": (drawn(HEX, 64),) * 2,
        "base64": (encoded(36),) * 2,
        "web token": (f"eyJhbGciOiJIUzI1NiJ9.{drawn(BASE62, 30)}.{drawn(BASE62, 43)}",) * 2,
        "private key": (f"-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n", key),
    }
    token = drawn(BASE62, 32)
    made["bearer"] = (f"Bearer {token}", token)
    hook = f"T0AB12CD3/B0EF45GH6/{drawn(BASE62, 24)}"
    made["slack"] = (f"https://hooks.slack.com/services/{hook}", hook)
    word = drawn(BASE62, 12)
    made["login"] = (f"https://shop:{word}@api.example/in", word)
    return made[randomness.choice(sorted(made))]
