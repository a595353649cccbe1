"""What an export of a container becomes, part by part."""

import json
import random

import pytest
from export_parts import (
    CONTAINER,
    SHOP,
    boolean,
    brought,
    condition,
    export,
    table,
    tag,
    template,
    text,
    told,
    tpl,
    trigger,
    variable,
)

from twite.gtm.container.faults import faults
from twite.gtm.container.parts import (
    ContainerUnusable,
    Firing,
    LookupRow,
    Operator,
    SequencedTag,
    ValueFormat,
    Variable,
    VariableSource,
)
from twite.gtm.container.toml_file import container_of_toml, container_text
from twite.gtm.importer import coverage
from twite.gtm.importer.reading import LARGEST, read_export


def test_parameters_become_values_with_their_types():
    parameters = [
        text("text", "a {{_event}}"),
        text("undefined"),
        boolean("yes", "true"),
        boolean("fed", "{{_event}}"),
        {"type": "INTEGER", "key": "number", "value": "200"},
        table("rows", {"name": "a", "value": "1"}, {"name": "b", "value": None}),
        {"type": "list", "key": "texts", "list": [{"type": "template", "value": "x"}]},
    ]

    found = brought(tag=[tag("Tag", "cvt_190000001_1", *parameters)])

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
def test_a_tag_finds_its_template_by_all_three_kinds_of_links(made, word):
    found = brought(templates=[made], tag=[tag("Tag", word)])

    assert [imported.template for imported in found.container.tags] == ["T1"]


@pytest.mark.parametrize(
    ("part", "word", "why"),
    [
        (tag("It", "sgtmgaaw"), "sgtmgaaw", "keep it in Google's container"),
        (tag("It", "sgtmnew"), "sgtmnew", "the type 'sgtmnew' is not known to Twite"),
        (tag("It", "cvt_9_9"), "", "its template (cvt_9_9) is not in the export"),
        (tag("It", "cvt_190000001_2"), "", "its template 'T2' is one for a MACRO"),
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
            "it needs consent, but does not say for what",
        ),
    ],
)
def test_a_tag_that_cannot_run_is_left_out_and_says_why(part, word, why):
    broken = template(3) | {"templateData": "___INFO___\n{"}

    found = brought(templates=[template(1), template(2, "MACRO"), broken], tag=[part])

    fit, said = told(found, "tag", "It")
    assert (fit, found.container.tags, found.is_whole) == ("left out", (), False)
    assert why in said


def test_a_tag_keeps_what_it_was_told():
    found = brought(
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
    assert told(found, "tag", "Tag") == ("rests", "")


def test_what_would_send_more_than_before_is_paused():
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

    found = brought(
        tag=[tag("Seen"), tag("Free"), tag("Then", novel="1")], transformation=[unknown]
    )

    assert {imported.name: imported.paused for imported in found.container.tags} == {
        "Seen": True,
        "Free": False,
        "Then": True,
    }
    assert [told(found, "tag", name)[0] for name in ("Seen", "Then")] == ["paused", "paused"]


@pytest.mark.parametrize(("word", "operator"), coverage.OPERATORS.items())
def test_every_operator_is_taken_or_left_out(word, operator):
    arguments = [text("arg0", "{{_event}}"), text("arg1", "1"), boolean("negate", "true")]
    made = trigger("P", "ALWAYS", condition(word, *arguments, boolean("ignore_case", "true")))

    found = brought(trigger=[made])

    if operator is None:
        assert told(found, "trigger", "P")[0] == "left out"
    else:
        (imported,) = found.container.triggers[0].when
        assert (imported.operator, imported.negate, imported.ignore_case) == (
            operator,
            True,
            True,
        )


def test_a_trigger_has_the_filter_on_its_event_and_the_others():
    made = trigger("P", "CUSTOM_EVENT", condition("CONTAINS", text("arg0", "x"), text("arg1", "y")))

    when = brought(trigger=[made]).container.triggers[0].when

    assert [(condition.left, condition.operator, condition.right) for condition in when] == [
        ("{{_event}}", Operator.EQUALS, "buy"),
        ("x", Operator.CONTAINS, "y"),
    ]


def test_a_trigger_that_names_no_event_is_left_out():
    found = brought(trigger=[trigger("P", customEventFilter=[])])

    assert told(found, "trigger", "P") == (
        "left out",
        "it does not say for which events, so it would fire for all",
    )


@pytest.mark.parametrize(("word", "known"), coverage.TRIGGERS.items())
def test_every_kind_of_trigger_becomes_what_the_table_says(word, known):
    assert told(brought(trigger=[trigger("P", word)]), "trigger", "P")[0] == known.fit


@pytest.mark.parametrize(("word", "known"), coverage.BUILT_INS.items())
def test_every_built_in_variable_becomes_what_the_table_says(word, known):
    found = brought(builtInVariable=[{"type": word, "name": known.shown}])

    assert told(found, "variable", known.shown)[0] == known.fit
    assert [imported.type for imported in found.container.variables] == (
        [] if known.source is None else [known.source]
    )


@pytest.mark.parametrize(("word", "known"), coverage.VARIABLES.items())
def test_every_kind_of_variable_becomes_what_the_table_says(word, known):
    word = "cvt_190000001_1" if word == "cvt_" else word
    needed = {"ed": "keyPath", "rh": "headerName", "k": "name", "smm": "input", "remm": "input"}
    parameters = [text(needed[word], "x")] if word in needed else []

    found = brought(templates=[template(1, "MACRO")], variable=[variable("V", word, *parameters)])

    assert told(found, "variable", "V")[0] == known.fit
    assert [imported.type for imported in found.container.variables] == (
        [known.source] if known.source else []
    )


@pytest.mark.parametrize(("word", "known"), coverage.CLIENTS.items())
def test_every_kind_of_client_becomes_what_the_table_says(word, known):
    word = "cvt_190000001_1" if word == "cvt_" else word

    found = brought(templates=[template(1, "CLIENT")], client=[{"name": "C", "type": word}])

    assert told(found, "client", "C")[0] == known.fit


@pytest.mark.parametrize(("word", "known"), coverage.TAGS.items())
def test_every_kind_of_tag_becomes_what_the_table_says(word, known):
    word = "cvt_190000001_1" if word == "cvt_" else word

    assert told(brought(tag=[tag("It", word)]), "tag", "It")[0] == known.fit


def test_tables_of_variables_keep_their_rows_defaults_and_switches():
    rows = table("map", {"key": "a", "value": "1"}, {"key": "b", "value": "{{_event}}"})
    switches = [boolean(key, "true") for key in ("setDefaultValue", "fullMatch", "ignoreCase")]

    found = brought(
        variable=[
            variable(
                "V", "remm", text("input", "{{_event}}"), rows, *switches, text("defaultValue", "d")
            )
        ]
    )

    made = found.container.variables[0]
    assert made.rows == (LookupRow(key="a", value="1"), LookupRow(key="b", value="{{_event}}"))
    assert (made.whole, made.ignore_case, made.captures, made.default) == (True, True, False, "d")


def test_a_format_is_kept():
    form = {
        "caseConversionType": "LOWERCASE",
        "convertNullToValue": {"type": "TEMPLATE", "value": "none"},
        "convertTrueToValue": {"type": "TEMPLATE", "value": "yes"},
    }

    found = brought(variable=[variable("V", "c", text("value", "x"), formatValue=form)])

    assert found.container.variables[0].format == ValueFormat(
        case="lower", instead={"null": "none", "true": "yes"}
    )


@pytest.mark.parametrize(
    ("parameters", "bounds"),
    [
        ((text("min", "1"), {"type": "INTEGER", "key": "max", "value": "100"}), ("1", 100)),
        ((text("min", "{{Most}}"), text("max", "{{Most}}")), ("{{Most}}", "{{Most}}")),
        ((text("min", "few"), text("max", "")), (None, None)),
        ((), (None, None)),
    ],
)
def test_a_random_number_keeps_the_bounds_that_are_some(parameters, bounds):
    most = variable("Most", "c", text("value", "5"))

    found = brought(variable=[variable("Lot", "r", *parameters), most])

    lot = found.container.variables[0]
    assert (lot.type, lot.least, lot.most) == (VariableSource.RANDOM, *bounds)
    assert container_of_toml(container_text(found.container, ()))[0].variables[0] == lot
    assert list(faults(found.container)) == []


def test_undefined_stays_undefined():
    found = brought(variable=[variable("None", "uv")])

    assert found.container.variables == (Variable(name="None", type=VariableSource.CONSTANT),)


def test_a_variable_goes_with_those_it_needs_however_far():
    chain = [variable(f"V{at}", "c", text("value", f"{{{{V{at + 1}}}}}")) for at in range(3)]

    found = brought(variable=[*chain, variable("V3", "jsm")])

    assert [line.fit for line in found.lines if line.kind == "variable"] == ["left out"] * 4


def test_a_trigger_that_looks_at_what_asks_others_is_told_of():
    asks = tpl("MACRO").replace(
        "return 1;", "return require('sendHttpRequest')('https://a.example');"
    )
    quiet = template(2, "MACRO")
    looks = condition("EQUALS", text("arg0", "{{Near}}"), text("arg1", "gold"))
    other = condition("EQUALS", text("arg0", "{{Quiet}}"), text("arg1", "gold"))

    found = brought(
        templates=[{"templateId": "1", "name": "Asks", "templateData": asks}, quiet],
        variable=[
            variable("Far", f"cvt_{CONTAINER}_1"),
            variable("Near", "c", text("value", "x{{Far}}")),
            variable("Quiet", f"cvt_{CONTAINER}_2"),
        ],
        trigger=[
            trigger("Gold", "CUSTOM_EVENT", looks),
            trigger("Other", "CUSTOM_EVENT", other, triggerId="6"),
        ],
    )

    fit, why = told(found, "trigger", "Gold")
    assert (fit, why.startswith("it looks at 'Near', which fetches")) == ("differs", True)
    assert told(found, "trigger", "Other") == ("runs", "")


def test_transformations_keep_their_tables_their_tags_and_their_conditions():
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

    less, only, more = brought(tag=[tag()], transformation=changes).container.transformations

    assert (less.exclude, less.tags, less.others) == (("user_data",), ("Tag",), True)
    assert (only.allow, only.templates) == (("value",), ("T1",))
    assert more.set == {"a": "{{_event}}"}
    assert (more.when[0].operator, more.when[0].right) == (Operator.MATCHES, "^buy")


def test_parts_of_one_name_get_names_of_their_own():
    found = brought(tag=[tag("A"), tag("A"), tag("A (2)")])

    assert [imported.name for imported in found.container.tags] == ["A", "A (2)", "A (2) (2)"]


def test_nothing_is_dropped_in_silence():
    made = export(
        folder=[{"name": "F"}, {"name": "G", "novel": 1}],
        zone=[{"zoneId": "1"}],
        novelty=[1],
        gtagConfig=[],
        tag=[tag(notes="remember")],
        variable=[variable("V", "c", text("value", "x"))],
    )

    found = brought(made)

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
    assert "its key 'novel' is not known" in told(found, "folder", "G")[1]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "is nested too deep"),
        (b"[]", "an object was expected, not an array"),
        (b"{}", "is not a container export"),
        (json.dumps(export() | {"exportFormatVersion": 3}).encode(), "only the version 2 is known"),
        (
            json.dumps({"exportFormatVersion": 2, "containerVersion": 1}).encode(),
            "containerVersion: an object was expected, not a number",
        ),
        (json.dumps(export(tag={})).encode(), "tag: an array was expected, not an object"),
        (json.dumps(export(tag=["x"])).encode(), r"tag\[0\]: an object was expected"),
        (json.dumps(export(tag=[{}] * 10_001)).encode(), "tag: has 10001 parts; 10000 are"),
        (
            json.dumps(export(container={"usageContext": ["WEB"]})).encode(),
            "this is a container for WEB; Twite runs server containers",
        ),
    ],
)
def test_what_is_no_export_is_refused(made, said):
    with pytest.raises(ContainerUnusable, match=said):
        read_export(made)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"name": 1}, r"tag\[0\].name: a string was expected, not a number"),
        ({"parameter": {}}, r"tag\[0\].parameter: an array was expected"),
        ({"parameter": [1]}, r"tag\[0\].parameter\[0\]: an object was expected"),
        ({"parameter": [{"type": "ODD", "key": "a", "value": "b"}]}, "the type 'ODD'"),
        (
            {"parameter": [{"type": "INTEGER", "key": "a", "value": "9" * 40}]},
            "an INTEGER was expected",
        ),
        ({"firingTriggerId": "1"}, r"tag\[0\].firingTriggerId: an array was expected"),
        ({"firingTriggerId": [[]]}, r"tag\[0\].firingTriggerId: a string was expected"),
    ],
)
def test_a_misshapen_part_is_refused_by_its_place(part, said):
    with pytest.raises(ContainerUnusable, match=said):
        brought(tag=[tag() | part])


def test_a_deep_parameter_is_refused():
    deep = text("a", "b")
    for _ in range(100):
        deep = {"type": "LIST", "key": "a", "list": [deep]}

    with pytest.raises(ContainerUnusable, match="nested too deep"):
        brought(tag=[tag("Tag", "cvt_190000001_1", deep)])


def test_what_is_larger_than_any_container_is_refused_unread():
    with pytest.raises(ContainerUnusable, match="is larger than 32 MiB"):
        read_export(bytes(LARGEST + 1))


def test_variables_in_a_ring_are_refused_by_their_names():
    ring = [variable("A", "c", text("value", "{{B}}")), variable("B", "c", text("value", "{{A}}"))]

    with pytest.raises(ContainerUnusable, match="A → B → A"):
        brought(variable=ring)


def places_in(tree):
    """Yield (whole, key) of everything below."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places_in(value)


@pytest.mark.parametrize("seed", range(8))
def test_a_spoilt_export_is_imported_or_refused_and_can_be_written(seed):
    randomness = random.Random(seed)
    spoilt = [None, True, 0, -1, 1e308, "", "x", "{{}}", "{{Dice}}", "\x00", [], {}, [[]], {"a": 1}]
    for _ in range(10):
        tree = json.loads(SHOP.read_text())
        for _ in range(randomness.randint(1, 6)):
            whole, key = randomness.choice(list(places_in(tree["containerVersion"])))
            whole[key] = randomness.choice(spoilt)

        try:
            found = brought(tree).container
        except ContainerUnusable:
            continue
        again, _ = container_of_toml(container_text(found, []))

        assert (again.tags, again.variables) == (found.tags, found.variables)


def test_the_span_of_time_in_which_a_tag_fires_is_kept():
    found = brought(tag=[tag("T", scheduleStartMs="1764543600000", scheduleEndMs="1767222000000")])

    (imported,) = found.container.tags
    assert (imported.starts_at, imported.ends_at, imported.paused) == (
        1764543600000,
        1767222000000,
        False,
    )
    assert container_of_toml(container_text(found.container, ()))[0].tags[0] == imported
