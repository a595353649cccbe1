"""Explain a container's decision about an event: values of variables, verdicts of triggers."""

from collections.abc import Callable

import msgspec

from twite.tags.container.conditions import holds
from twite.tags.container.parts import Condition, Container, ContainerTrigger
from twite.tags.container.plan import client_name
from twite.tags.container.values import EventContext, LookupNeeded, Unfilled, Values, Variables
from twite.tags.template.texts import UNDEFINED, TooLong, Value, filled, text_of


class ExplainedValue(msgspec.Struct, frozen=True, kw_only=True):
    """A variable's value, or why it has none. `value` may identify a person."""

    name: str
    value: Value = UNDEFINED
    why_not: str = ""


class ExplainedTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a trigger matches. `decided` is the condition that decided, `left` its left value.

    `matches` is None if the trigger needs a value from another server.
    """

    name: str
    matches: bool | None
    decided: str = ""
    left: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    values: tuple[ExplainedValue, ...] = ()
    triggers: tuple[ExplainedTrigger, ...] = ()


def explained(container: Container, context: EventContext, variables: Variables) -> Explanation:
    """Evaluate every variable and trigger of a container."""
    client = client_name(container, context.client)
    values = Values(container, msgspec.structs.replace(context, client=client), variables)
    verdicts: dict[str, ExplainedTrigger] = {}
    triggers = {trigger.name: trigger for trigger in container.triggers}

    def verdict(name: str) -> bool | None:
        """Return whether a trigger matches; "All Events" always does."""
        if name in triggers and name not in verdicts:
            verdicts[name] = _trigger(triggers[name], values, verdict)
        return name not in triggers or verdicts[name].matches

    for name in triggers:
        verdict(name)
    return Explanation(
        values=tuple(_value(variable.name, values) for variable in container.variables),
        triggers=tuple(verdicts[name] for name in triggers),
    )


def _value(name: str, values: Values) -> ExplainedValue:
    try:
        return ExplainedValue(name=name, value=values.of(name))
    except (Unfilled, TooLong) as why:
        return ExplainedValue(name=name, why_not=str(why) or "the value is too long")


def _trigger(
    trigger: ContainerTrigger, values: Values, matches: Callable[[str], bool | None]
) -> ExplainedTrigger:
    """Return the verdict.

    The first part that does not match decides. If there is none, the last part that needs a lookup
    decides, or else the last part.
    """
    name, decided, left = trigger.name, "it has no condition", ""
    explained: ExplainedTrigger | None = None
    if trigger.all_of:
        decided, left = f"all of {', '.join(trigger.all_of)} match", "they match"
    for other in trigger.all_of:
        found = matches(other)
        if found is False:
            left = f"{other} does not match"
            return ExplainedTrigger(name=name, matches=False, decided=decided, left=left)
        if found is None:
            left = f"? ({other} needs a lookup)"
            explained = ExplainedTrigger(name=name, matches=None, decided=decided, left=left)
    for condition in trigger.when:
        decided = spelled_out(condition)
        try:
            left = text_of(filled(condition.left, values.of))
            if not holds(condition, values.of):
                return ExplainedTrigger(name=name, matches=False, decided=decided, left=left)
        except LookupNeeded as why:
            left = f"? ({why})"
            explained = ExplainedTrigger(name=name, matches=None, decided=decided, left=left)
        except (Unfilled, TooLong) as why:
            return ExplainedTrigger(name=name, matches=False, decided=decided, left=f"? ({why})")
    return explained or ExplainedTrigger(name=name, matches=True, decided=decided, left=left)


def spelled_out(condition: Condition) -> str:
    """Return a condition in words, such as `{{Event Name}} equals purchase`."""
    negated = "does not: " if condition.negate else ""
    operator = condition.operator.value.replace("_", " ")
    case = " (ignoring case)" if condition.ignore_case else ""
    return f"{condition.left} {negated}{operator} {condition.right}{case}"
