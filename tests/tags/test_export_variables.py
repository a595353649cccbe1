"""Every kind of trigger, variable, client and tag of an export."""

import pytest
from export_parts import (
    CONTAINER,
    boolean,
    condition,
    import_of,
    result_of,
    table,
    tag,
    template,
    text,
    tpl,
    trigger,
    variable,
)

from twite.tags.container.faults import faults
from twite.tags.container.parts import (
    LookupRow,
    ValueFormat,
    Variable,
    VariableSource,
)
from twite.tags.container.toml_file import container_of_toml, container_text
from twite.tags.importer import coverage


@pytest.mark.parametrize(("word", "known"), coverage.TRIGGERS.items())
def test_every_trigger_kind_is_imported_as_documented(word, known):
    all_events = [{"type": "TRIGGER_REFERENCE", "value": coverage.ALL_EVENTS_ID}]
    members = {"type": "LIST", "key": "triggerIds", "list": all_events}
    more = {"parameter": [members]} if word == "TRIGGER_GROUP" else {}

    assert (
        result_of(import_of(trigger=[trigger("P", word, **more)]), "trigger", "P")[0] == known.fit
    )


@pytest.mark.parametrize(("word", "known"), coverage.BUILT_INS.items())
def test_every_built_in_variable_is_imported_as_documented(word, known):
    found = import_of(builtInVariable=[{"type": word, "name": known.shown}])

    assert result_of(found, "variable", known.shown)[0] == known.fit
    assert [imported.type for imported in found.container.variables] == (
        [] if known.source is None else [known.source]
    )


@pytest.mark.parametrize(("word", "known"), coverage.VARIABLES.items())
def test_every_variable_kind_is_imported_as_documented(word, known):
    word = "cvt_190000001_1" if word == "cvt_" else word
    needed = {
        "ed": "keyPath",
        "rh": "headerName",
        "k": "name",
        "qp": "queryParamName",
        "smm": "input",
        "remm": "input",
        "fs": "documentPath",
    }
    parameters = [text(needed[word], "x")] if word in needed else []

    found = import_of(templates=[template(1, "MACRO")], variable=[variable("V", word, *parameters)])

    assert result_of(found, "variable", "V")[0] == known.fit
    assert [imported.type for imported in found.container.variables] == (
        [known.source] if known.source else []
    )


@pytest.mark.parametrize(("word", "known"), coverage.CLIENTS.items())
def test_every_client_kind_is_imported_as_documented(word, known):
    word = "cvt_190000001_1" if word == "cvt_" else word

    found = import_of(templates=[template(1, "CLIENT")], client=[{"name": "C", "type": word}])

    assert result_of(found, "client", "C")[0] == known.fit


@pytest.mark.parametrize(("word", "known"), coverage.TAGS.items())
def test_every_tag_kind_is_imported_as_documented(word, known):
    word = "cvt_190000001_1" if word == "cvt_" else word

    assert result_of(import_of(tag=[tag("It", word)]), "tag", "It")[0] == known.fit


def test_lookup_variables_keep_rows_defaults_and_switches():
    rows = table("map", {"key": "a", "value": "1"}, {"key": "b", "value": "{{_event}}"})
    switches = [boolean(key, "true") for key in ("setDefaultValue", "fullMatch", "ignoreCase")]

    found = import_of(
        variable=[
            variable(
                "V", "remm", text("input", "{{_event}}"), rows, *switches, text("defaultValue", "d")
            )
        ]
    )

    made = found.container.variables[0]
    assert made.rows == (LookupRow(key="a", value="1"), LookupRow(key="b", value="{{_event}}"))
    assert (made.whole, made.ignore_case, made.captures, made.default) == (True, True, False, "d")


def test_format_of_a_variable_is_imported():
    form = {
        "caseConversionType": "LOWERCASE",
        "convertNullToValue": {"type": "TEMPLATE", "value": "none"},
        "convertTrueToValue": {"type": "TEMPLATE", "value": "yes"},
    }

    found = import_of(variable=[variable("V", "c", text("value", "x"), formatValue=form)])

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
def test_random_number_variable_keeps_valid_bounds(parameters, bounds):
    most = variable("Most", "c", text("value", "5"))

    found = import_of(variable=[variable("Lot", "r", *parameters), most])

    lot = found.container.variables[0]
    assert (lot.type, lot.least, lot.most) == (VariableSource.RANDOM, *bounds)
    assert container_of_toml(container_text(found.container, ()))[0].variables[0] == lot
    assert list(faults(found.container)) == []


def test_undefined_variable_stays_undefined():
    found = import_of(variable=[variable("None", "uv")])

    assert found.container.variables == (Variable(name="None", type=VariableSource.CONSTANT),)


def test_variable_is_left_out_with_the_parts_that_need_it():
    chain = [variable(f"V{at}", "c", text("value", f"{{{{V{at + 1}}}}}")) for at in range(3)]

    found = import_of(variable=[*chain, variable("V3", "jsm")])

    assert [line.fit for line in found.lines if line.kind == "variable"] == ["left out"] * 4


def test_trigger_with_a_variable_that_sends_requests_is_reported():
    asks = tpl("MACRO").replace(
        "return 1;", "return require('sendHttpRequest')('https://a.example');"
    )
    quiet = template(2, "MACRO")
    looks = condition("EQUALS", text("arg0", "{{Near}}"), text("arg1", "gold"))
    other = condition("EQUALS", text("arg0", "{{Quiet}}"), text("arg1", "gold"))

    found = import_of(
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

    fit, why = result_of(found, "trigger", "Gold")
    assert (fit, why.startswith("it reads 'Near', which fetches")) == ("differs", True)
    assert result_of(found, "trigger", "Other") == ("runs", "")
