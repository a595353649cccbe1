"""The template engine on quickjs-ng in this process: for commands and tests.

The gateway runs templates in engine processes: see twite.engines.process.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import msgspec
import quickjs

from twite.engines.quickjs.context import (
    SCENARIO_LINE,
    CodeUnusable,
    ContextLimits,
    LimitPassed,
    Sandbox,
    TemplateContext,
    TurnHead,
)
from twite.gtm.template.allowed import lacking, matches
from twite.gtm.template.permissions import policy
from twite.gtm.template.refused import refused
from twite.gtm.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.gtm.template.template import Template, TemplateUnusable

_SECTION: Final = "SANDBOXED_JS_FOR_SERVER"


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


def call_texts(call: Call) -> tuple[str, str]:
    """Return a call and its event as JSON: the template decodes its own copy each time."""
    plain = msgspec.structs.replace(call, event=None)
    return _JSON.encode(plain).decode(), _JSON.encode(call.event or {}).decode()


def answers_text(answers: tuple[EffectAnswer, ...], *, now: int) -> str:
    """Return the arguments of a resumed turn as JSON."""
    return _JSON.encode({"answers": answers, "now": now}).decode()


class QuickJsEngine:
    """Runs one template; see twite.gtm.template.sandbox.Engine.

    `keys` are the keys of hmacSha256, by id. Raises TemplateUnusable if the code is not JavaScript.
    """

    def __init__(
        self,
        template: Template,
        *,
        limits: RunLimits | None = None,
        keys: Mapping[str, str] | None = None,
        testing: bool = False,
    ) -> None:
        self._policy = policy(template.grants)
        self._is_new = True  # whether the context has not run anything yet
        boot, context_limits = boot_of(template, limits=limits or RunLimits(), keys=keys)
        try:
            self._context = TemplateContext(
                template.code.text,
                boot=boot,
                limits=context_limits,
                make=lambda: Sandbox(testing=testing),
            )
        except CodeUnusable as error:
            raise unusable(template, error.line, error.message) from None

    @property
    def contexts(self) -> int:
        """How many contexts have been created so far."""
        return self._context.contexts

    def start(self, call: Call) -> Turn:
        self._is_new = False
        if self._context.is_untidy:
            self._context.tidy()
        return self._turn(lambda context: context.start(*call_texts(call)))

    def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        return self._turn(lambda context: context.resume(run, answers_text(answers, now=now)))

    def end(self, run: int) -> None:
        self._context.end(run)

    def apis(self) -> tuple[str, ...]:
        """Return the names that `require` knows."""
        return tuple(msgspec.json.decode(self._context.enter("apis"), type=list[str]))

    def loads(self, code: str) -> bool:
        """Load code that replaces the template's; return whether it is usable."""
        if refused(code) is not None:
            return False
        try:
            self._context.enter("load", code)
        except quickjs.JSException:
            return False
        return True

    def scenario(self, code: str, *, now: int) -> msgspec.Raw:
        """Run one scenario of a template's tests in a separate context; return its result."""
        if not self._is_new:
            self._context.open()
        self._is_new = False
        given = {"code": "\n" * SCENARIO_LINE + code, "now": now, "seed": 1}
        return msgspec.Raw(self._context.enter("scenario", _JSON.encode(given).decode()).encode())

    def memory(self) -> int:
        """Return how many bytes the context holds."""
        return self._context.memory()

    def _turn(self, act: Callable[[TemplateContext], tuple[str, TurnHead]]) -> Turn:
        try:
            text, _ = act(self._context)
            turn = read_turn(text)
        except LimitPassed as passed:
            self._context.open()
            return Turn(run=0, error=str(passed), spent=True)
        except msgspec.DecodeError as error:
            self._context.open()
            return Turn(run=0, error=f"its request cannot be read: {error}", spent=True)
        for effect in turn.effects:
            permission = lacking(effect, self._policy)
            if permission is not None:
                # The sandbox checks every call itself, so it must have been bypassed.
                self._context.open()
                return Turn(run=0, error=f"an effect that {permission} does not allow", spent=True)
        return turn


def read_turn(text: str) -> Turn:
    """Read a turn. Raises msgspec.DecodeError."""
    return _TURN.decode(text)


_JSON: Final = msgspec.json.Encoder()
_TURN: Final = msgspec.json.Decoder(Turn)
