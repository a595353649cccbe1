"""The import of a container's export, part by part."""

import pytest
from export_parts import (
    CONTAINER,
    boolean,
    condition,
    export,
    import_of,
    result_of,
    table,
    tag,
    template,
    text,
    trigger,
    variable,
)

from twite.tags.container.parts import (
    Firing,
    Operator,
    SequencedTag,
)
from twite.tags.container.toml_file import container_of_toml, container_text
from twite.tags.importer import coverage


def test_parameters_of_an_export_become_typed_values():
    parameters = [
        text("text", "a {{_event}}"),
        text("undefined"),
        boolean("yes", "true"),
        boolean("fed", "{{_event}}"),
        {"type": "INTEGER", "key": "number", "value": "200"},
        table("rows", {"name": "a", "value": "1"}, {"name": "b", "value": None}),
        {"type": "list", "key": "texts", "list": [{"type": "template", "value": "x"}]},
    ]

    found = import_of(tag=[tag("Tag", "cvt_190000001_1", *parameters)])

    assert found.container.tags[0].fields == {
        "text": "a {{_event}}",
        "yes": True,
        "fed": "{{_event}}",
        "number": 200,
        "rows": [{"name": "a", "value": "1"}, {"name": "b"}],
        "texts": ["x"],
    }


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (template(1), "cvt_190000001_1"),
        (template(1) | {"galleryReference": {"galleryTemplateId": "AB1CD"}}, "cvt_AB1CD"),
        (template(1, word="cvt_XY2ZQ"), "cvt_XY2ZQ"),
    ],
)
def test_tag_finds_its_template_by_all_three_kinds_of_links(made, word):
    found = import_of(templates=[made], tag=[tag("Tag", word)])

    assert [imported.template for imported in found.container.tags] == ["T1"]


@pytest.mark.parametrize(
    ("part", "word", "why"),
    [
        (tag("It", "sgtmgaaw"), "sgtmgaaw", "keep it in Google's container"),
        (tag("It", "sgtmnew"), "sgtmnew", "the type 'sgtmnew' is not known to Twite"),
        (tag("It", "cvt_9_9"), "", "its template (cvt_9_9) is not in the export"),
        (tag("It", "cvt_190000001_2"), "", "its template 'T2' is a variable template"),
        (tag("It", "cvt_190000001_3"), "", "its template 'T3' cannot be used"),
        (tag("It", fires=("77",)), "", "its trigger '77' is left out"),
        (tag("It", blockingTriggerId=["77"]), "", "its exception '77' is left out"),
        (tag("It", tagFiringOption="SOMETIMES"), "", "its firing option 'SOMETIMES' is not known"),
        (tag("It", "cvt_190000001_1", text("a", "{{No}}")), "", "it needs the variable 'No'"),
        (
            tag("It", setupTag=[{"tagName": "No", "stopOnSetupFailure": True}]),
            "",
            "it needs the tag 'No', which is left out",
        ),
        (
            tag("It", consentSettings={"consentStatus": "NEEDED"}),
            "",
            "it requires consent, but names no consent types",
        ),
    ],
)
def test_tag_that_cannot_run_is_left_out_with_a_reason(part, word, why):
    broken = template(3) | {"templateData": "___INFO___\n{"}

    found = import_of(templates=[template(1), template(2, "MACRO"), broken], tag=[part])

    fit, said = result_of(found, "tag", "It")
    assert (fit, found.container.tags, found.is_whole) == ("left out", (), False)
    assert why in said


def test_imported_tag_keeps_its_settings():
    found = import_of(
        trigger=[trigger("P"), trigger("Q") | {"triggerId": "6"}],
        tag=[
            tag(
                "Tag",
                fires=("5",),
                blockingTriggerId=["6"],
                tagFiringOption="UNLIMITED",
                priority={"type": "INTEGER", "value": "-4"},
                paused=True,
                teardownTag=[{"tagName": "Last", "stopTeardownOnFailure": True}],
                consentSettings={
                    "consentStatus": "NEEDED",
                    "consentType": {"type": "LIST", "list": [text(None, "ad_storage")]},
                },
            ),
            tag("Last", fires=()),
        ],
    )

    made = found.container.tags[0]

    assert (made.triggers, made.unless, made.firing) == (("P",), ("Q",), Firing.EACH_TRIGGER)
    assert (made.priority, made.paused, made.consent) == (-4, True, ("ad_storage",))
    assert made.teardown == SequencedTag(tag="Last", needed=True)
    assert result_of(found, "tag", "Tag") == ("rests", "")


def test_tag_that_would_send_more_than_at_google_is_paused():
    unknown = {
        "name": "T",
        "type": "tf_new",
        "parameter": [
            {
                "type": "LIST",
                "key": "affectedTags",
                "list": [{"type": "MAP", "map": [text("tagReference", "Seen")]}],
            }
        ],
    }

    found = import_of(
        tag=[tag("Seen"), tag("Free"), tag("Then", novel="1")], transformation=[unknown]
    )

    assert {imported.name: imported.paused for imported in found.container.tags} == {
        "Seen": True,
        "Free": False,
        "Then": True,
    }
    assert [result_of(found, "tag", name)[0] for name in ("Seen", "Then")] == ["paused", "paused"]


@pytest.mark.parametrize(("word", "operator"), coverage.OPERATORS.items())
def test_every_operator_of_a_trigger_is_imported_or_left_out(word, operator):
    arguments = [text("arg0", "{{_event}}"), text("arg1", "1"), boolean("negate", "true")]
    made = trigger("P", "ALWAYS", condition(word, *arguments, boolean("ignore_case", "true")))

    found = import_of(trigger=[made])

    if operator is None:
        assert result_of(found, "trigger", "P")[0] == "left out"
    else:
        (imported,) = found.container.triggers[0].when
        assert (imported.operator, imported.negate, imported.ignore_case) == (
            operator,
            True,
            True,
        )


def test_trigger_has_its_event_filter_and_its_other_filters():
    made = trigger("P", "CUSTOM_EVENT", condition("CONTAINS", text("arg0", "x"), text("arg1", "y")))

    when = import_of(trigger=[made]).container.triggers[0].when

    assert [(condition.left, condition.operator, condition.right) for condition in when] == [
        ("{{_event}}", Operator.EQUALS, "buy"),
        ("x", Operator.CONTAINS, "y"),
    ]


@pytest.mark.parametrize(
    ("log_to", "notes"),
    [
        (["no"], ""),
        (["no", "always"], "it calls BigQuery, which needs credentials: [google] in twite.toml"),
        ([], ""),
    ],
)
def test_template_needs_google_credentials_only_if_a_tag_uses_the_service(log_to, notes):
    form = [
        {"type": "RADIO", "name": "logTo", "radioItems": [{"value": "no"}, {"value": "always"}]},
        {
            "type": "TEXT",
            "name": "bigQueryTable",
            "enablingConditions": [
                {"paramName": "logTo", "type": "EQUALS", "paramValue": "always"}
            ],
        },
    ]  # fmt: skip
    made = template(1, fields=form)
    code = "const bigQuery = require('BigQuery');\nreturn 1;"
    made["templateData"] = made["templateData"].replace("return 1;", code)

    found = import_of(
        templates=[made],
        tag=[
            tag(f"It {at}", f"cvt_{CONTAINER}_1", text("logTo", to)) for at, to in enumerate(log_to)
        ],
    )

    assert result_of(found, "template", "T1") == ("differs" if notes else "runs", notes)


def group(name, *ids, number="9", **more):
    listed = [{"type": "TRIGGER_REFERENCE", "value": id_} for id_ in ids]
    listed = [{"type": "LIST", "key": "triggerIds", "list": listed}]
    return {
        "triggerId": number, "name": name, "type": "TRIGGER_GROUP", "parameter": listed, **more
    }  # fmt: skip


def test_trigger_group_contains_its_triggers_in_any_order():
    found = import_of(
        trigger=[
            group("All", "5", "8"),
            group("Inner", "5", "2147479574", number="8"),
            trigger("P"),
        ],
        tag=[tag("It", fires=("9",))],
    )

    groups = {each.name: each.all_of for each in found.container.triggers}
    assert groups == {"P": (), "Inner": ("P", "All Events"), "All": ("P", "Inner")}
    assert found.container.tags[0].triggers == ("All",)
    assert result_of(found, "trigger", "All") == (
        "differs", "it fires if all its triggers match the same event"
    )  # fmt: skip


def test_trigger_group_keeps_its_filter():
    filter_ = [condition("CONTAINS", text("arg0", "x"), text("arg1", "y"))]

    found = import_of(trigger=[trigger("P"), group("All", "5", filter=filter_)])

    made = found.container.triggers[1]
    assert (made.all_of, [each.left for each in made.when]) == (("P",), ["x"])


TWICE = (
    "it lists the trigger 'P' more than once, but a trigger matches an event at most once, so the "
    "group never fires"
)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (group("All"), "it lists no triggers"),
        (group("All", "77"), "it lists the trigger '77', which is left out"),
        (group("All", "9"), "it lists the trigger '9', which is left out"),
        (
            group("All", "5", "5"),
            TWICE,
        ),
        (
            group("All", parameter=[text("triggerIds", "5")]),
            "it lists no triggers",
        ),
        (
            group("All", parameter=[*group("All", "5")["parameter"], text("odd", "1")]),
            "it has a parameter 'odd', which is not known to Twite",
        ),
    ],
)  # fmt: skip
def test_trigger_group_that_cannot_be_imported_leaves_out_its_tags(made, why):
    found = import_of(
        trigger=[made, trigger("P")],
        tag=[tag("It", fires=("9",)), tag("Other", blockingTriggerId=["9"])],
    )

    assert result_of(found, "trigger", "All") == ("left out", why)
    assert [each.name for each in found.container.triggers] == ["P"]
    assert not found.container.tags


def test_trigger_with_parameters_that_is_not_a_group_is_left_out():
    found = import_of(trigger=[trigger("P", parameter=[text("dialog", "1")])])

    assert result_of(found, "trigger", "P") == (
        "left out", "it has a parameter: only triggers of web pages and trigger groups have one"
    )  # fmt: skip


def test_trigger_without_an_event_name_is_left_out():
    found = import_of(trigger=[trigger("P", customEventFilter=[])])

    assert result_of(found, "trigger", "P") == (
        "left out",
        "its filter names no event, so it would fire for all",
    )


def test_transformations_keep_tables_tags_and_conditions():
    matching = {
        "variableName": "_event",
        "variableReference": "{{_event}}",
        "expressionType": "MATCH_REGEX",
        "expressionValue": "^buy",
    }
    changes = [
        {
            "name": "Less",
            "type": "tf_exclude_params",
            "parameter": [
                table("excludedParamsTable", {"excludedParams": "user_data"}),
                table("affectedTags", {"tagReference": "Tag"}),
                boolean("allTagsExcept", "true"),
            ],
        },
        {
            "name": "Only",
            "type": "tf_allow_params",
            "parameter": [
                table("allowedParamsTable", {"allowedParams": "value"}),
                table("affectedTagTypes", {"tagType": "cvt_190000001_1"}),
            ],
        },
        {
            "name": "More",
            "type": "tf_augment_event",
            "parameter": [
                table("augmentEventTable", {"paramName": "a", "paramValue": "{{_event}}"}),
                boolean("matchingConditionsEnabled", "true"),
                table("matchingConditionsTable", matching),
            ],
        },
    ]

    less, only, more = import_of(tag=[tag()], transformation=changes).container.transformations

    assert (less.exclude, less.tags, less.others) == (("user_data",), ("Tag",), True)
    assert (only.allow, only.templates) == (("value",), ("T1",))
    assert more.set == {"a": "{{_event}}"}
    assert (more.when[0].operator, more.when[0].right) == (Operator.MATCHES, "^buy")


def test_parts_with_the_same_name_are_renamed():
    found = import_of(tag=[tag("A"), tag("A"), tag("A (2)")])

    assert [imported.name for imported in found.container.tags] == ["A", "A (2)", "A (2) (2)"]


def test_unsupported_keys_of_an_export_are_reported():
    made = export(
        folder=[{"name": "F"}, {"name": "G", "novel": 1}],
        zone=[{"zoneId": "1"}],
        novelty=[1],
        gtagConfig=[],
        tag=[tag(notes="remember")],
        variable=[variable("V", "c", text("value", "x"))],
    )

    found = import_of(made)

    assert [(line.kind, line.name, str(line.fit)) for line in found.lines] == [
        ("template", "T1", "runs"),
        ("variable", "V", "runs"),
        ("tag", "Tag", "runs"),
        ("folder", "F", "differs"),
        ("folder", "G", "differs"),
        ("zone", "", "left out"),
        ("novelty", "", "left out"),
        ("notes", "", "differs"),
    ]
    assert "its key 'novel' is not known" in result_of(found, "folder", "G")[1]


def test_schedule_of_a_tag_is_kept():
    found = import_of(
        tag=[tag("T", scheduleStartMs="1764543600000", scheduleEndMs="1767222000000")]
    )

    (imported,) = found.container.tags
    assert (imported.starts_at, imported.ends_at, imported.paused) == (
        1764543600000,
        1767222000000,
        False,
    )
    assert container_of_toml(container_text(found.container, ()))[0].tags[0] == imported
