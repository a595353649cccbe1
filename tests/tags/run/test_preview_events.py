"""A preview records the tags of an event."""

from types import SimpleNamespace

import pytest

from builders import NOW
from twite.domain.consent import ConsentAction
from twite.domain.secret import Secret
from twite.domain.submission import NotFiredReason
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.container.plan import FiringPlan, PendingTriggers, SkippedTag
from twite.tags.container.values import EventContext
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.preview_events import PreviewedTagEvent, secrets_of

EVENT = {"event_name": "purchase"}


class Trace:
    """Records the events, unless there are too many."""

    def __init__(self, *, records=True):
        self.records = records
        self.events, self.explained, self.tags = [], [], []

    def event(self, name, data, consent, mask):
        self.events.append((name, data, consent, mask.over("key-1 key-2", most=99)))
        return "seen" if self.records else None

    def explain(self, seen, explanation, mask):
        self.explained.append((seen, explanation, mask.over("key-1 key-2", most=99)))

    def tag(self, seen, name, why, *, fires):
        assert seen == "seen"
        self.tags.append((name, why, fires))


class Ingest:
    def __init__(self):
        self.asked = []

    async def explained(self, *asked):
        self.asked.append(asked)
        return "explanation"


def a_config(number):
    rules = {
        "crm": TagRule(name="crm", secrets=(Secret(f"key-{number}"),)),
        "app": TagRule(name="app", sources=frozenset({"app"})),
    }
    tags = tuple(ContainerTag(name=name, template="main") for name in ("crm", "app", "bare"))
    return ContainerConfig(container=Container(tags=tags, templates={}), rules=rules)


CONFIGS = [a_config(1), a_config(2)]


def previewed(trace, *, action=ConsentAction.SEND, reason=None):
    verdict = SimpleNamespace(action=action, rule="granted", reason=reason)
    parsed = SimpleNamespace(
        verdict=verdict,
        name="purchase",
        occasion=SimpleNamespace(event=EVENT),
        source=SimpleNamespace(name="shop"),
    )
    ingest = Ingest()
    return PreviewedTagEvent(trace, parsed, container_configs=CONFIGS, ingest=ingest), ingest


def fired(name, *, pending=None):
    return SimpleNamespace(tag=SimpleNamespace(name=name), trigger="bought", pending=pending)


@pytest.mark.parametrize(
    ("action", "reason", "consent"),
    [
        (ConsentAction.SEND, None, "send (granted)"),
        (ConsentAction.SUPPRESS, "consent_denied", "suppress (granted): consent_denied"),
    ],
)
def test_event_is_recorded_with_its_consent_and_without_secrets(action, reason, consent):
    previewed(trace := Trace(), action=action, reason=reason)

    assert trace.events == [("purchase", EVENT, consent, "*** ***")]


async def recorded(trace, plan):
    made, ingest = previewed(trace)
    occasion = EventContext(event=EVENT, now=NOW)
    await made.record(CONFIGS[0], plan, occasion, "known")
    assert ingest.asked in ([], [(CONFIGS[0], occasion, "known")])
    return ingest


async def test_reason_of_each_tag_with_a_rule_is_recorded():
    pending = PendingTriggers(triggers=("gold",))
    plan = FiringPlan(
        fired=(
            fired("bare"), fired("crm"), fired("app"), fired("crm", pending=pending),
            fired("app", pending=pending),
        ),
        passed=(
            SkippedTag("bare", "it is paused", NotFiredReason.PAUSED),
            SkippedTag("crm", "it is paused", NotFiredReason.PAUSED),
        ),
    )  # fmt: skip
    await recorded(trace := Trace(), plan)

    foreign = ("app", "it does not listen to the source", False)
    assert trace.tags == [
        ("crm", "trigger bought", True),
        foreign,
        ("crm", "its run decides, because a trigger needs a value from another server", True),
        foreign,
        ("crm", "it is paused", False),
    ]
    assert trace.explained == [("seen", "explanation", "*** key-2")]


async def test_variables_of_an_event_that_is_not_recorded_are_not_evaluated():
    ingest = await recorded(trace := Trace(records=False), FiringPlan(fired=(fired("crm"),)))

    assert (ingest.asked, trace.explained, trace.tags) == ([], [], [])


def test_secrets_of_all_tags_are_masked_in_the_preview():
    assert secrets_of(CONFIGS) == {"key-1", "key-2"}
    assert secrets_of([]) == set()
