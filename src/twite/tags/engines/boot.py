"""What an engine process loads of a template, and the texts of its turns.

This module does not load the engine: the process that listens never maps the engine's library.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec

from twite.tags.engines.context_limits import ContextLimits
from twite.tags.template.allowed import matches
from twite.tags.template.own_arguments import with_own_arguments
from twite.tags.template.permissions import policy
from twite.tags.template.refused import refused
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.tags.template.template import Template, TemplateUnusable

_SECTION: Final = "SANDBOXED_JS_FOR_SERVER"
_JSON: Final = msgspec.json.Encoder()
_TURN: Final = msgspec.json.Decoder(Turn)


@cache
def suffixes() -> msgspec.Raw:
    """Return the Public Suffix List's rules by top-level domain, as JSON: `{"uk": " co.uk … "}`.

    Rules of one label are left out: the list's default rule covers them. Private rules, such as
    `myshopify.com`, are included: a shop's cookie must not be valid for the whole platform.
    """
    from importlib.resources import files  # noqa: PLC0415  # slow to import

    found: dict[str, list[str]] = {}
    text = (files("publicsuffixlist") / "public_suffix_list.dat").read_text("utf-8")
    for line in text.splitlines():
        rule = line.split("//")[0].strip()
        if rule.count(".") < 1:
            continue
        labels = rule.removeprefix("!").split(".")
        ascii_rule = ".".join(label if label == "*" else _ascii(label) for label in labels)
        mark = "!" if rule.startswith("!") else ""
        found.setdefault(_ascii(labels[-1]), []).append(mark + ascii_rule)
    return msgspec.Raw(
        msgspec.json.encode({top: f" {' '.join(rules)} " for top, rules in found.items()})
    )


def _ascii(label: str) -> str:
    return label if label.isascii() else label.encode("idna").decode("ascii")


def boot_of(
    template: Template, *, limits: RunLimits, keys: Mapping[str, str] | None = None
) -> tuple[str, ContextLimits]:
    """Return the boot text of a template's contexts. `keys` are the keys for hmacSha256, by id.

    Raises TemplateUnusable for code that would escape every limit.
    """
    found = refused(template.code.text)
    if found is not None:
        raise unusable(template, found.line, found.message)
    allowed = policy(template.grants)
    boot = {
        "policy": allowed,
        "kind": template.kind,
        "limits": {"effects": limits.effects, "output": limits.output},
        # Left out of most templates, because it takes 150 kB.
        "suffixes": suffixes() if "computeEffectiveTldPlusOne" in template.code.text else None,
        # The template gets only the keys that it has a permission for.
        "keys": {id_: key for id_, key in (keys or {}).items() if matches(allowed.keys, id_)},
    }
    return _JSON.encode(boot).decode(), ContextLimits(
        time=limits.time,
        memory=limits.memory,
        stack=limits.stack,
        recycle_after=limits.recycle_after,
    )


def unusable(template: Template, line: int, message: str) -> TemplateUnusable:
    """Return the error for a line of the template's code."""
    return TemplateUnusable(section=_SECTION, line=template.code.line + line - 1, message=message)


def code_of(template: Template) -> str:
    """Return the code that the engine loads."""
    return with_own_arguments(template.code.text)


def call_texts(call: Call) -> tuple[str, str]:
    """Return a call and its event as JSON: the template decodes its own copy each time."""
    plain = msgspec.structs.replace(call, event=None)
    return _JSON.encode(plain).decode(), _JSON.encode(call.event or {}).decode()


def answers_text(answers: tuple[EffectAnswer, ...], *, now: int) -> str:
    """Return the arguments of a resumed turn as JSON."""
    return _JSON.encode({"answers": answers, "now": now}).decode()


def read_turn(text: str) -> Turn:
    """Read a turn. Raises msgspec.DecodeError."""
    return _TURN.decode(text)
