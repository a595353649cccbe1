"""The template engine on quickjs-ng in this process: for commands and tests.

The gateway runs templates in engine processes: see twite.tags.engines.process.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from twite.tags.engines.boot import answers_text, boot_of, call_texts, code_of, read_turn, unusable
from twite.tags.engines.quickjs.context import (
    SCENARIO_LINE,
    CodeUnusable,
    LimitPassed,
    Sandbox,
    TemplateContext,
    TurnHead,
)
from twite.tags.template.allowed import lacking
from twite.tags.template.own_arguments import with_own_arguments
from twite.tags.template.permissions import policy
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.tags.template.template import Template

_JSON: Final = msgspec.json.Encoder()


class QuickJsEngine:
    """Runs one template; see twite.tags.template.sandbox.Engine.

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
                code_of(template),
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

    def scenario(self, code: str, *, now: int) -> msgspec.Raw:
        """Run one scenario of a template's tests in a separate context; return its result."""
        if not self._is_new:
            self._context.open()
        self._is_new = False
        code = with_own_arguments(code, of_all="[]")
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
