"""Which tags of a container fire, and with which fields."""

import pytest
from container_parts import (
    EVENT,
    condition,
    container,
    field,
    occasion,
    planned,
    tag,
    template,
    trigger,
)

from twite.domain.submission import NotFiredReason
from twite.tags.container.explain import explained
from twite.tags.container.parts import (
    ContainerClient,
    Firing,
    SequencedTag,
    Transformation,
    Variable,
    VariableSource,
)
from twite.tags.template.fields import EnablingCondition as Shown

PURCHASE = trigger("Purchase", condition("{{_event}}", "equals", "purchase"))
VIEW = trigger("View", condition("{{_event}}", "equals", "view_item"))


def names(plan):
    return [fired.tag.name for fired in plan.fired]


def reasons(plan):
    return {passed.tag: passed.why for passed in plan.passed}


def test_tag_fires_if_one_of_its_triggers_matches():
    made = container(tag(triggers=("View", "Purchase")), triggers=[VIEW, PURCHASE])

    found = planned(made)

    assert [(fired.tag.name, fired.trigger) for fired in found.fired] == [("Post", "Purchase")]


def test_all_conditions_of_a_trigger_must_be_true():
    both = trigger("Both", *PURCHASE.when, condition("{{_event}}", "contains", "x"))

    found = planned(container(tag(triggers=("Both",)), triggers=[both]))

    assert reasons(found) == {"Post": "none of its triggers matches"}


@pytest.mark.parametrize(
    ("groups", "fires"),
    [
        ({"All": ("Purchase", "Large")}, True),
        ({"All": ("Purchase", "View")}, False),
        ({"All": ("All Events", "Inner"), "Inner": ("Purchase",)}, True),
        ({"All": ("Purchase", "Inner"), "Inner": ("View",)}, False),
    ],
)
def test_trigger_group_matches_if_all_its_triggers_match(groups, fires):
    large = trigger("Large", condition("{{Value}}", "greater", "40"))
    value = Variable(name="Value", type=VariableSource.EVENT_DATA, key="value")
    made = container(
        tag(triggers=("All",)),
        triggers=[
            *(trigger(name, all_of=all_of) for name, all_of in groups.items()),
            PURCHASE,
            VIEW,
            large,
        ],
        variables=[value],
    )

    assert bool(planned(made).fired) is fires
    explanation = explained(made, occasion(), None)
    verdicts = {each.name: each.matches for each in explanation.triggers}
    assert (verdicts["All"], list(verdicts)) == (fires, [*groups, "Purchase", "View", "Large"])


def test_trigger_group_has_conditions_and_can_be_an_exception():
    both = trigger("Both", condition("{{_event}}", "contains", "x"), all_of=("Purchase",))
    group = trigger("Group", all_of=("Purchase",))

    made = container(
        tag("A", triggers=("Both",)),
        tag("B", unless=("Group",)),
        triggers=[both, group, PURCHASE],
    )

    assert reasons(planned(made)) == {
        "A": "none of its triggers matches",
        "B": "the exception 'Group' matches",
    }


def test_trigger_without_conditions_matches_every_event():
    made = container(tag("A", triggers=("Any",)), tag("B"), triggers=[trigger("Any")])

    assert names(planned(made)) == ["A", "B"]


def test_exception_trigger_blocks_a_tag():
    made = container(tag(unless=("Purchase",)), triggers=[PURCHASE])

    assert reasons(planned(made)) == {"Post": "the exception 'Purchase' matches"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"paused": True}, "it is paused"),
        ({"triggers": ()}, "it has no trigger"),
        ({"triggers": ("Nobody",)}, "none of its triggers matches"),
        ({"template": "Nobody"}, "its template 'Nobody' is not in the container"),
        ({"consent": ("ad_storage", "analytics_storage")}, "consent ad_storage"),
    ],
)
def test_tag_that_does_not_fire_has_a_reason(more, why):
    assert reasons(planned(container(tag(**more)))) == {"Post": why}


@pytest.mark.parametrize(
    ("event", "known", "fires"),
    [
        ({"x-ga-gcs": "G111"}, {}, True),
        ({"x-ga-gcs": "G101"}, {}, False),
        ({}, {}, False),
        ({"consent_state": {"ad_storage": True}}, {}, True),
        ({"consent_state": {"ad_storage": "granted"}}, {}, True),
        ({"consent_state": {"ad_storage": "denied"}, "x-ga-gcs": "G111"}, {}, False),
        ({"consent_state": {"ad_storage": True}}, {"ad_storage": False}, False),
        ({}, {"ad_storage": True}, True),
    ],
)
def test_consent_signal_for_a_tag_comes_from_the_visitor_or_the_event(event, known, fires):
    found = planned(container(tag(consent=("ad_storage",))), on=occasion(event, consent=known))

    assert bool(found.fired) is fires


def test_tags_run_by_priority_and_then_in_order():
    made = container(tag("A"), tag("B", priority=5), tag("C", priority=-1), tag("D", priority=5))

    assert names(planned(made)) == ["B", "D", "A", "C"]


@pytest.mark.parametrize(("firing", "times"), [(Firing.ONCE, 1), (Firing.EACH_TRIGGER, 2)])
def test_tag_fires_once_or_for_each_matching_trigger(firing, times):
    made = container(tag(triggers=("Purchase", "All Events"), firing=firing), triggers=[PURCHASE])

    assert len(planned(made).fired) == times


def test_defaults_of_a_template_are_filled_in_on_request():
    made = template(fields=[field("a", default="given"), field("b", "CHECKBOX")])

    with_defaults = planned(container(tag(), templates={"Poster": made}))
    as_saved = planned(container(tag(defaults=False), templates={"Poster": made}))

    assert with_defaults.fired[0].fields == {"a": "given", "b": False}
    assert as_saved.fired[0].fields == {}


def test_field_with_an_undefined_variable_gets_no_default():
    made = template(fields=[field("a", default="90"), field("b", default="7")])
    nothing = Variable(name="Nothing", type=VariableSource.EVENT_DATA, key="no.such")
    asks = tag(fields={"a": "{{Nothing}}"})

    found = planned(container(asks, variables=(nothing,), templates={"Poster": made}))

    assert found.fired[0].fields == {"b": "7"}


def test_variable_decides_whether_a_field_is_shown():
    shown = field(
        "token", default="t", conditions=(Shown(field="mode", type="EQUALS", value="purchase"),)
    )
    made = template(fields=[field("mode"), shown])

    found = planned(container(tag(fields={"mode": "{{_event}}"}), templates={"Poster": made}))

    assert found.fired[0].fields == {"mode": "purchase", "token": "t"}


def test_setup_and_cleanup_tags_need_no_triggers():
    made = container(
        tag(
            "Main", setup=SequencedTag(tag="First"), teardown=SequencedTag(tag="Last", needed=True)
        ),
        tag("First", triggers=(), fields={"name": "{{_event}}"}),
        tag("Last", triggers=(), unless=("All Events",)),
    )

    main = planned(made).fired[0]

    assert (main.setup.tag.name, main.setup.fields) == ("First", {"name": "purchase"})
    assert main.teardown.tag.name == "Last"


@pytest.mark.parametrize(("needed", "fired"), [(False, ["Main"]), (True, [])])
def test_paused_setup_tag_blocks_its_tag_only_if_required(needed, fired):
    made = container(
        tag("Main", setup=SequencedTag(tag="First", needed=needed)),
        tag("First", triggers=(), paused=True),
    )

    assert names(planned(made)) == fired


def test_paused_cleanup_tag_does_not_block_its_tag():
    made = container(
        tag("Main", teardown=SequencedTag(tag="Last", needed=True)),
        tag("Last", triggers=(), paused=True),
    )

    (fired,) = planned(made).fired

    assert fired.teardown is None


NOW = 1_764_000_000_000  # of the occasion


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ({"starts_at": NOW, "ends_at": NOW + 1}, None),
        ({"starts_at": NOW + 1}, "it fires from 2025-11-24T16:00:00.001Z on"),
        ({"ends_at": NOW}, "it fired until 2025-11-24T16:00:00.000Z"),
    ],
)
def test_tag_fires_within_its_schedule(span, why):
    found = planned(container(tag("Post", **span)))

    assert [(passed.why, passed.reason) for passed in found.passed] == (
        [(why, NotFiredReason.PAUSED)] if why else []
    )
    assert names(found) == ([] if why else ["Post"])


def test_setup_tag_outside_its_schedule_does_not_run():
    made = container(
        tag("Main", setup=SequencedTag(tag="First")), tag("First", triggers=(), starts_at=NOW + 1)
    )

    (fired,) = planned(made).fired

    assert fired.setup is None


def test_setup_tags_that_need_each_other_do_not_fire():
    made = container(tag("A", setup=SequencedTag(tag="B")), tag("B", setup=SequencedTag(tag="A")))

    assert reasons(planned(made)) == {
        "A": "the tag 'A' cannot run with it",
        "B": "the tag 'B' cannot run with it",
    }


def test_transformations_change_tags_and_variables_but_not_triggers():
    value = Variable(name="Value", type=VariableSource.EVENT_DATA, key="value")
    changes = [
        Transformation(name="Less", exclude=("user_data.address.city", "page_location")),
        Transformation(name="More", set={"value": "{{Value}}0", "shop.name": "Finch"}),
        Transformation(name="These", allow=("event_name", "value", "user_data", "page_location")),
    ]
    fits = trigger("Paid", condition("{{Value}}", "equals", "49.9"))
    made = container(
        tag(triggers=("Paid",), fields={"sum": "{{Value}}"}),
        variables=[value],
        triggers=[fits],
        transformations=changes,
    )

    fired = planned(made).fired[0]

    assert fired.event == {
        "event_name": "purchase",
        "value": "49.90",
        "user_data": {"address": {}},
        "shop": {"name": "Finch"},
    }
    assert fired.fields == {"sum": "49.90"}


@pytest.mark.parametrize(
    ("more", "changed"),
    [
        ({}, True),
        ({"tags": ("Post",)}, True),
        ({"tags": ("Other",)}, False),
        ({"tags": ("Other",), "others": True}, True),
        ({"tags": ("Post",), "others": True}, False),
        ({"templates": ("Poster",)}, True),
        ({"when": (condition("{{_event}}", "equals", "purchase"),)}, True),
        ({"when": (condition("{{_event}}", "equals", "view"),)}, False),
    ],
)
def test_transformation_applies_to_its_tags_under_its_conditions(more, changed):
    made = container(transformations=[Transformation(name="T", exclude=("value",), **more)])

    event = planned(made).fired[0].event

    assert ("value" not in event) is changed


PERSON = {
    "email_address": "a@shop.example",
    "sha256_email_address": "0" * 64,
    "address": [{"first_name": "Ada", "sha256_first_name": "1" * 64, "city": "London"}],
}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (
            {"exclude": ("user_data.email_address", "user_data.address.0.first_name")},
            {"address": [{"city": "London"}]},
        ),
        (
            {
                "set": {"user_data.email_address": "shop@shop.example"},
                "exclude": ("user_data.address.0",),
            },
            {"email_address": "shop@shop.example", "address": [None]},
        ),
        (
            {"set": {"user_data.sha256_email_address": "no", "user_data.email_address": "no"}},
            PERSON | {"email_address": "no", "sha256_email_address": "no"},
        ),
        ({"allow": ("user_data.email_address",)}, {"email_address": "a@shop.example"}),
        ({"exclude": ("user_data.address.1", "user_data.address.city")}, PERSON),
    ],
)
def test_hash_is_removed_if_its_personal_data_is_removed_or_replaced(change, left):
    changes = [Transformation(name=name, **{name: what}) for name, what in change.items()]

    on = occasion(EVENT | {"user_data": PERSON})
    [fired] = planned(container(transformations=changes), on=on).fired

    assert fired.event["user_data"] == left


def test_excluded_positions_refer_to_the_original_list():
    change = Transformation(name="Less", exclude=("items.0", "items.1.price"))
    on = occasion(EVENT | {"items": [{"price": 1}, {"price": 2}, {"price": 3}]})

    [fired] = planned(container(transformations=[change]), on=on).fired

    assert fired.event["items"] == [None, {}, {"price": 3}]


def test_evaluation_does_not_change_the_event():
    change = Transformation(name="T", exclude=("user_data.address.city",), set={"items": "no"})
    before = str(EVENT)

    planned(container(transformations=[change]))

    assert str(EVENT) == before


@pytest.mark.parametrize(
    ("client", "name"), [("ga4", "Web"), ("data_tag", "data_tag"), ("Orders", "Orders")]
)
def test_client_name_variable_has_the_name_in_the_container(client, name):
    field_ = Variable(name="Client", type=VariableSource.CLIENT_NAME)
    made = container(
        tag(fields={"client": "{{Client}}"}),
        variables=[field_],
        clients=(ContainerClient(name="Orders", template="T"), ContainerClient(name="Web")),
    )

    found = planned(made, on=occasion(client=client))

    assert found.fired[0].fields == {"client": name}
