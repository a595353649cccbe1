"""The values of a container's variables."""

import pytest
from container_parts import EVENT, Returning, field, filled, incoming, occasion, template

from twite.domain.incoming_request import IncomingRequest
from twite.tags.container.parts import LookupRow, ValueFormat, Variable, VariableSource
from twite.tags.template.template import TemplateKind
from twite.tags.template.texts import UNDEFINED


def variable(name, kind, **more):
    return Variable(name=name, type=VariableSource(kind), **more)


def test_single_variable_in_a_field_keeps_its_type():
    assert filled("{{Items}}", variable("Items", "event_data", key="items")) == EVENT["items"]


def test_variables_in_a_text_are_formatted_as_in_javascript():
    value = variable("Value", "event_data", key="value")

    assert filled("{{Value}} for {{ Value }}, {{None}}", value) == "49.9 for 49.9, undefined"


def test_undefined_variables_in_rows_are_absent():
    city = variable("City", "event_data", key="user_data.address.city")

    found = filled([{"name": "{{City}}", "value": "{{Nobody}}"}, "{{Nobody}}"], city)

    assert found == [{"name": "London"}, None]


@pytest.mark.parametrize("tree", ["{{Nobody}}", []])
def test_field_that_is_undefined_or_an_empty_table_is_absent(tree):
    assert filled(tree) == "absent"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("event_name", "purchase"),
        ("user_data.address", {"city": "London"}),
        ("items.1.price", 5.5),
        ("items.2.price", "absent"),
        ("items." + "9" * 5000, "absent"),
        ("items.²", "absent"),
        ("value.x", "absent"),
    ],
)
def test_event_data_is_found_by_its_path(key, value):
    assert filled("{{It}}", variable("It", "event_data", key=key)) == value


def test_key_with_dots_overrides_the_path():
    on = occasion({"a.b": 1, "a": {"b": 2}})

    assert filled("{{It}}", variable("It", "event_data", key="a.b"), on=on) == 1


def random_number(draw, name="Lot", **bounds):
    return filled("{{" + name + "}}", variable(name, "random", **bounds), on=occasion(draw=draw))


def test_random_number_is_an_integer_within_its_bounds():
    assert {random_number(draw, least=1, most="6") for draw in range(200)} == {1, 2, 3, 4, 5, 6}


def test_random_number_stays_the_same_for_an_event_and_variable():
    found = [random_number(7, least=1, most=10**9), random_number(7, "Other", least=1, most=10**9)]

    assert found[0] == random_number(7, least=1, most=10**9)
    assert found[0] != found[1]


@pytest.mark.parametrize(
    "bounds",
    [{}, {"least": 1}, {"least": 6, "most": 1}, {"least": "{{Nobody}}", "most": 3},
     {"least": True, "most": 1}, {"least": "", "most": 1}, {"least": 0, "most": "Infinity"}],
)  # fmt: skip
def test_random_number_without_valid_bounds_has_googles_range(bounds):
    found = [random_number(draw, **bounds) for draw in range(50)]

    assert all(0 <= number <= 2_147_483_647 for number in found)
    assert max(found) > 10**9


def test_bound_of_a_random_number_can_be_another_variable():
    bound = variable("Most", "constant", value=5)
    lot = variable("Lot", "random", least="{{Most}}", most="{{Most}}")

    assert filled("{{Lot}}", lot, bound) == 5


def test_default_of_a_variable_replaces_a_missing_value():
    known = variable("Known", "constant", value="EUR")
    asked = variable("It", "event_data", key="currency", default="{{Known}}")

    assert filled("{{It}}", asked, known) == "EUR"


def test_header_name_can_have_any_case_and_repeated_headers_are_joined():
    on = occasion(request=incoming(("x-shop", "a"), ("x-shop", "b")))

    assert filled("{{It}}", variable("It", "request_header", key="X-Shop"), on=on) == "a, b"


@pytest.mark.parametrize(("decode", "value"), [(True, "a/b c"), (False, "a%2Fb%20c")])
def test_first_value_of_a_cookie_is_read_and_decoded_on_request(decode, value):
    on = occasion(request=incoming(("cookie", 'x=1; shop="a%2Fb%20c"; shop=2')))

    found = filled("{{It}}", variable("It", "cookie", key="shop", decode=decode), on=on)

    assert found == value


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("v=2&ep.plan=a%2Fb%20c&ep.plan=2", "a/b c"),
        ("ep.plan=", ""),
        ("EP.PLAN=x", "none"),
        ("", "none"),
    ],
)
def test_first_value_of_a_query_parameter_is_read_and_decoded(query, value):
    on = occasion(request=IncomingRequest(query=query))
    asked = variable("It", "query_parameter", key="ep.plan", default="none")

    assert filled("{{It}}", asked, on=on) == value


def test_lookup_table_uses_the_first_equal_row():
    table = variable(
        "It",
        "lookup",
        input="{{_event}}",
        rows=(LookupRow(key="view", value="View"), LookupRow(key="purchase", value="{{Buy}}")),
    )

    assert filled("{{It}}", table, variable("Buy", "constant", value="Buy")) == "Buy"


@pytest.mark.parametrize(
    ("more", "key", "value"),
    [
        ({}, "chase", "it"),
        ({"whole": True}, "chase", "absent"),
        ({"whole": True}, ".*chase", "it"),
        ({}, "CHASE", "absent"),
        ({"ignore_case": True}, "CHASE", "it"),
    ],
)
def test_regular_expression_table_uses_the_first_matching_row(more, key, value):
    table = variable(
        "It", "regex_lookup", input="{{_event}}", rows=(LookupRow(key=key, value="it"),), **more
    )

    assert filled("{{It}}", table) == value


@pytest.mark.parametrize(("captures", "value"), [(True, "city=London, $9"), (False, "$1=$2, $9")])
def test_capture_groups_of_a_regular_expression_are_inserted(captures, value):
    table = variable(
        "It",
        "regex_lookup",
        input="city:London",
        captures=captures,
        rows=(LookupRow(key="(\\w+):(\\w+)", value="$1=$2, $9"),),
    )

    assert filled("{{It}}", table) == value


def test_variable_of_a_template_runs_with_its_fields():
    runs = Returning({"hash": "ab"})
    asked = variable("It", "template", template="Hash", fields={"input": "{{_event}}"})
    made = template("Hash", kind=TemplateKind.VARIABLE, fields=[field("input"), field("salt")])

    found = filled("{{It}}", asked, runs=runs, templates={"Hash": made})

    assert found == {"hash": "ab"}
    assert runs.asked == [("Hash", {"input": "purchase"}, EVENT)]


def test_field_with_an_undefined_variable_gets_no_default():
    runs = Returning("v")
    nothing = variable("Nothing", "event_data", key="no.such")
    asked = variable("It", "template", template="Hash", fields={"salt": "{{Nothing}}"})
    made = template("Hash", kind=TemplateKind.VARIABLE, fields=[field("salt", default="s")])

    filled("{{It}}", asked, nothing, runs=runs, templates={"Hash": made})

    assert runs.asked == [("Hash", {}, EVENT)]


def test_variable_is_evaluated_once_for_each_event():
    runs = Returning("v")
    asked = variable("It", "template", template="Hash")
    made = template("Hash", kind=TemplateKind.VARIABLE)

    filled("{{It}} {{It}}", asked, runs=runs, templates={"Hash": made})

    assert len(runs.asked) == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("event_name", "purchase"),
        ("client_name", "GA4"),
        ("request_path", "/g/collect"),
        ("request_method", "POST"),
        ("query_string", "v=2"),
        ("page_url", "https://shop.example/thanks?order=1"),
        ("page_path", "/thanks"),
        ("page_hostname", "shop.example"),
        ("visitor_region", "GB"),
        ("client_id", "absent"),
        ("session_id", "absent"),
        ("session_number", "absent"),
        ("container_id", "GTM-TWITE"),
        ("container_version", "1"),
        ("debug_mode", False),
    ],
)
def test_built_in_variables_describe_event_and_request(kind, value):
    request = incoming(method="POST", path="/g/collect", query="v=2")
    on = occasion({**EVENT, "event_location": {"country": "GB"}}, client="GA4", request=request)

    assert filled("{{It}}", variable("It", kind), on=on) == value


@pytest.mark.parametrize("source", list(VariableSource))
def test_tag_fires_although_a_variable_has_no_value(source):
    on = occasion({})

    assert filled("it: {{It}}", variable("It", source), on=on).startswith("it: ")


@pytest.mark.parametrize(
    ("value", "formatted"),
    [
        (None, "nil"),
        (UNDEFINED, "none"),
        (True, "yes"),
        (False, "no"),
        ("Text", "TEXT"),
        ("true", "TRUE"),
        (1, 1),
    ],
)
def test_format_of_a_variable_changes_case_and_replaces_values(value, formatted):
    form = ValueFormat(
        case="upper", instead={"null": "nil", "undefined": "none", "true": "yes", "false": "no"}
    )
    asked = variable("It", "template", template="Any", format=form)
    made = template("Any", kind=TemplateKind.VARIABLE)

    assert filled("{{It}}", asked, runs=Returning(value), templates={"Any": made}) == formatted


def test_variables_that_refer_to_each_other_are_reported():
    first = variable("A", "constant", value="{{B}}")
    second = variable("B", "constant", value="x{{A}}")

    assert filled("{{A}}", first, second) == "circular dependency of variables: A → B → A"


def test_long_chain_of_variables_is_refused():
    chain = [variable(f"V{at}", "constant", value=f"{{{{V{at + 1}}}}}") for at in range(5000)]

    assert filled("{{V0}}", *chain) == "more than 50 variables depend on one another"


def test_texts_that_double_are_refused_before_they_fill_the_memory():
    doubling = [
        variable(f"V{at}", "constant", value=f"{{{{V{at + 1}}}}}{{{{V{at + 1}}}}}")
        for at in range(40)
    ]

    found = filled("{{V0}}", *doubling, variable("V40", "constant", value="laugh"))

    assert found == "a string with variables becomes too long"
