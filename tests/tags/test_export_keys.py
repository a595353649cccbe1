"""Each key of an export is imported or reported; a missing key never makes a part do more."""

import pytest
from export_parts import (
    boolean,
    condition,
    export,
    import_of,
    result_of,
    table,
    tag,
    text,
    trigger,
    variable,
)

from twite.domain.submission import NotFiredReason
from twite.tags.container.plan import plan
from twite.tags.container.values import EventContext


def test_unknown_keys_beside_the_container_version_are_reported():
    made = export(container={"name": "Shop", "taggingServerUrls": ["https://t.example"], "new": 1})

    found = import_of(made | {"exportTime": "2026-11-25", "extension": {"a": 1}})

    assert result_of(found, "extension", "")[0] == "left out"
    fit, why = result_of(found, "container", "Shop")
    assert fit == "differs"
    assert "taggingServerUrls is not kept" in why
    assert "its key 'new' is not known to Twite" in why


LIST = {"type": "LIST", "list": [{"type": "TEMPLATE", "value": "x"}]}


@pytest.mark.parametrize(
    ("kind", "part", "fit", "why"),
    [
        ("tag", tag("It", novel=1), "paused", "its key 'novel' is not known to Twite"),
        ("tag", tag("It", scheduleStartMs="1", scheduleEndMs=2), "runs", ""),
        ("tag", tag("It", scheduleStartMs="soon"), "paused", "its scheduleStartMs is not a time"),
        ("tag", tag("It", scheduleEndMs=["1"]), "paused", "its scheduleEndMs is not a time"),
        ("tag", tag("It", setupTag=[{"tagName": "It 2", "new": 1}]), "paused", "its key 'new'"),
        (
            "tag",
            tag("It", consentSettings={"consentStatus": "NOT_SET", "new": 1}),
            "paused",
            "its key 'new'",
        ),
        ("tag", tag("It", firingRuleId=["1"]), "left out", "firingRuleId"),
        ("tag", tag("It", blockingRuleId=["1"]), "left out", "blockingRuleId"),
        ("tag", tag("It", consentSettings=["NEEDED"]), "left out", "is not an object"),
        ("tag", tag("It", paused="yes"), "rests", ""),
        ("tag", tag("It", liveOnly=True), "runs", ""),
        ("tag", tag("It", priority=text(None, "{{_event}}")), "differs", "counts as 0"),
        ("tag", tag("It", monitoringMetadata={"type": "MAP"}), "runs", ""),
        (
            "tag",
            tag("It", monitoringMetadata={"type": "MAP", "map": [text("a", "b")]}),
            "differs",
            "its monitoringMetadata is not kept",
        ),
        (
            "tag",
            tag("It", "cvt_190000001_1", text("a", "b") | {"isWeakReference": True}),
            "runs",
            "",
        ),
        (
            "tag",
            tag("It", "cvt_190000001_1", table("t", {"a": "b"}), text("a", "b") | {"new": 1}),
            "differs",
            "in its parameter 'a' the key 'new'",
        ),
        ("tag", tag("It", "cvt_190000001_1", text("a", "b") | {"list": [1]}), "differs", "a list"),
        (
            "tag",
            tag("It", "cvt_190000001_1", text("a", "b"), text("a", "c")),
            "differs",
            "its parameter 'a' occurs 2 times",
        ),
        ("tag", tag("It", fires=()), "rests", "it never fires, in Google's container or here"),
        ("trigger", trigger("It", novel=1), "left out", "its key 'novel' is not known"),
        ("trigger", trigger("It", waitForTags=boolean(None, "true")), "left out", "web pages"),
        ("trigger", trigger("It", waitForTags=boolean(None, "false")), "runs", ""),
        ("trigger", trigger("It", parameter=[text("a", "b")]), "left out", "a parameter"),
        ("trigger", trigger("It", autoEventFilter=[condition("EQUALS")]), "left out", "web pages"),
        ("trigger", trigger("It", "ALWAYS", condition("EQUALS") | {"new": 1}), "left out", "new"),
        (
            "trigger",
            trigger("It", "ALWAYS", condition("EQUALS", boolean("fuzzy", "true"))),
            "left out",
            "a parameter 'fuzzy'",
        ),
        ("variable", variable("It", novel=1), "differs", "its key 'novel' is not known"),
        ("variable", variable("It", scheduleEndMs="1"), "left out", "cannot limit a variable"),
        ("variable", variable("It", enablingTriggerId=["5"]), "left out", "mobile apps"),
        ("variable", variable("It", "c", text("hue", "x")), "differs", "its parameter 'hue'"),
        ("variable", variable("It", formatValue={"new": 1}), "left out", "formats its value"),
        (
            "variable",
            variable("It", formatValue={"caseConversionType": "TITLE"}),
            "left out",
            "formats its value",
        ),
        (
            "variable",
            variable("It", "smm", text("input", "x"), LIST | {"key": "map"}),
            "left out",
            "its map is not a table",
        ),
        (
            "variable",
            variable("It", "smm", text("input", "x"), table("map", {"key": "a", "hue": "b"})),
            "differs",
            "the column 'hue'",
        ),
        ("client", {"name": "It", "type": "gaaw_client", "novel": 1}, "left out", "'novel'"),
        (
            "client",
            {"name": "It", "type": "gaaw_client", "parameter": [text("cookieName", "FPID")]},
            "differs",
            "are not kept: cookieName",
        ),
    ],
)
def test_unsupported_key_is_reported_and_its_part_does_no_more_than_before(kind, part, fit, why):
    others = {"tag": [tag("It 2")]} if kind == "tag" else {}

    found = import_of(**{kind: [part, *others.get(kind, [])]})

    assert result_of(found, kind, "It")[0] == fit
    assert why in result_of(found, kind, "It")[1]


EXCLUDED = table("excludedParamsTable", {"excludedParams": "user_data"})


@pytest.mark.parametrize(
    ("parameters", "more", "why"),
    [
        ([EXCLUDED], {"novel": 1}, "its key 'novel' is not known"),
        ([EXCLUDED, text("until", "1")], {}, "its parameter 'until' is not known"),
        (
            [EXCLUDED, table("allowedParamsTable", {"allowedParams": "a"})],
            {},
            "more than one table",
        ),
        ([table("excludedParamsTable", {"excludedParams": "a", "x": "b"})], {}, "the column 'x'"),
        ([table("excludedParamsTable", {"excludedParams": ""})], {}, "has an empty name"),
        ([LIST | {"key": "excludedParamsTable"}], {}, "is not a table"),
        ([EXCLUDED, LIST | {"key": "affectedTags"}], {}, "is not a table"),
        ([EXCLUDED, boolean("matchingConditionsEnabled", "true")], {}, "but it has none"),
    ],
)
def test_unreadable_transformation_is_left_out_and_its_tags_paused(parameters, more, why):
    change = {"name": "It", "type": "tf_exclude_params", "parameter": parameters, **more}

    found = import_of(tag=[tag("Tag")], transformation=[change])

    assert result_of(found, "transformation", "It")[0] == "left out"
    assert why in result_of(found, "transformation", "It")[1]
    assert result_of(found, "tag", "Tag")[0] == "paused"


def test_trigger_named_all_events_keeps_its_conditions():
    found = import_of(trigger=[trigger("All Events")], tag=[tag("Tag", fires=("5",))])

    assert found.container.tags[0].triggers == ("All Events (2)",)
    assert len(found.container.triggers[0].when) == 1


@pytest.mark.parametrize(
    ("kind", "parts", "said"),
    [
        ("trigger", [trigger("P"), trigger("Q")], "a trigger with its id (5) already"),
        ("variable", [variable("V"), variable("V")], "a variable called 'V' already"),
        ("variable", [variable("_event")], "a variable called '_event' already"),
    ],
)
def test_repeated_part_of_an_export_is_left_out_and_reported(kind, parts, said):
    found = import_of(**{kind: parts})

    last = [line for line in found.lines if line.kind == kind][-1]
    assert (str(last.fit), said in last.notes[0]) == ("left out", True)


def test_tag_without_triggers_runs_with_a_tag_that_has_some():
    found = import_of(
        tag=[tag("Tag", teardownTag=[{"tagName": "Last"}]), tag("Last", fires=())],
    )

    assert result_of(found, "tag", "Last") == ("runs", "")


def test_numbers_and_texts_as_keys_are_compared_as_texts():
    row = {"type": "MAP", "map": [{"type": "INTEGER", "key": "key", "value": "5"}, text("value")]}
    rows = {"type": "LIST", "key": "map", "list": [row]}

    found = import_of(variable=[variable("V", "smm", text("input", "x"), rows)])

    assert found.container.variables[0].rows[0].key == "5"


def test_tag_whose_setup_tag_is_paused_is_reported():
    found = import_of(
        tag=[tag("Tag", setupTag=[{"tagName": "First"}]), tag("First", novel="1")],
    )

    assert result_of(found, "tag", "Tag") == (
        "differs",
        "its setup or teardown tag 'First' is paused, so it does not run with this tag",
    )


SETUP = {"tagName": "First", "stopOnSetupFailure": True}


def test_tag_that_requires_a_paused_tag_is_reported_not_to_fire():
    found = import_of(
        tag=[
            tag("Tag", fires=(), setupTag=[SETUP]),
            tag("Then", setupTag=[{"tagName": "Tag"}]),
            tag("Else", setupTag=[{"tagName": "First"}]),
            tag("First", paused=True),
        ],
    )

    waits = "it will not fire until you unpause the tag 'First', which it needs"
    assert result_of(found, "tag", "Tag") == ("rests", waits)
    assert result_of(found, "tag", "Then") == ("rests", waits)
    assert result_of(found, "tag", "Else") == (
        "differs",
        "its setup or teardown tag 'First' is paused, so it does not run with this tag",
    )


@pytest.mark.parametrize(
    "first", [tag("First"), tag("First", fires=()), tag("First", tagFiringOption="UNLIMITED")]
)
def test_setup_tag_of_several_tags_runs_as_at_google(first):
    found = import_of(
        tag=[
            tag("Tag", setupTag=[SETUP]),
            tag("Other", teardownTag=[{"tagName": "First"}]),
            first,
        ],
    )

    assert result_of(found, "tag", "First") == ("runs", "")


def test_tag_without_its_cleanup_tag_is_kept():
    teardown = {"tagName": "Last", "stopTeardownOnFailure": True}

    found = import_of(tag=[tag("Tag", teardownTag=[teardown]), tag("Last", "sgtmnew")])

    assert result_of(found, "tag", "Tag") == (
        "differs",
        "its setup or teardown tag 'Last' is left out",
    )
    assert found.container.tags[0].teardown is None


def test_exception_of_all_events_blocks_a_tag():
    found = import_of(tag=[tag("Tag", blockingTriggerId=["2147479574"])])

    planned = plan(found.container, EventContext(event={"event_name": "x"}, now=1), variables=None)

    assert [(passed.tag, passed.reason) for passed in planned.passed] == [
        ("Tag", NotFiredReason.EXCEPTION)
    ]
