"""Which parts of a request a tag, its setup and cleanup tags, and their variables may read."""

import pytest

from twite.domain.incoming_request import IncomingRequest
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    LookupRow,
    Operator,
    SequencedTag,
    Transformation,
    Variable,
    VariableSource,
)
from twite.tags.run.readable_request import (
    ReadableRequest,
    kept,
    may_respond,
    may_run_container,
    readable,
    readable_by_all,
    templates_before_response,
)
from twite.tags.template.permissions import Grant
from twite.tags.template.template import Template, TemplateKind, TemplatePart

CALLS = Grant(permission="run_container")
COOKIES = Grant(
    permission="set_cookies",
    parameters={"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]},
)


def reads(*names, kind="cookies"):
    if kind == "cookies":
        return Grant(
            permission="get_cookies",
            parameters={"cookieAccess": "specific", "cookieNames": [*names]},
        )
    return Grant(permission="read_request", parameters={"requestAccess": "any"})


def template(name, *grants):
    return Template(
        kind=TemplateKind.TAG, id="", name=name, description="", fields=(), tests=None, notes="",
        code=TemplatePart(text="", line=1), grants=grants,
    )  # fmt: skip


def a_tag(name="crm", **more):
    return ContainerTag(**{"name": name, "template": name} | more)


def header(name, key=None, **more):
    return Variable(name=name, type=VariableSource.REQUEST_HEADER, key=key or f"x-{name}", **more)


def when(left, right="1"):
    return Condition(left=left, operator=Operator.EQUALS, right=right)


def a_container(*tags, **more):
    """Each tag has a template of its own name, which reads a cookie of that name."""
    names = {tag.name for tag in tags}
    templates = {name: template(name, reads(name)) for name in names}
    return Container(**{"tags": tags, "templates": templates} | more)


def headers_of(tag, *, variables, decides=False, **more):
    return sorted(
        readable(a_container(tag, variables=variables, **more), tag, decides=decides).headers
    )


def test_tag_can_read_the_parts_that_its_template_may_read():
    container = a_container(crm := a_tag(), a_tag("other"))

    assert readable(container, crm).cookies == ("crm",)
    assert readable(container, a_tag("gone")).cookies == ()


def test_tag_can_read_the_parts_for_its_setup_and_cleanup_tags():
    crm = a_tag(setup=SequencedTag(tag="first"), teardown=SequencedTag(tag="last"))
    first = a_tag("first", setup=SequencedTag(tag="before"))
    last = a_tag("last", teardown=SequencedTag(tag="crm"))
    container = a_container(crm, first, last, a_tag("before"), a_tag("other"))

    assert sorted(readable(container, crm).cookies) == ["before", "crm", "first", "last"]
    gone = a_tag(setup=SequencedTag(tag="gone"))
    assert readable(a_container(gone), gone).cookies == ("crm",)


@pytest.mark.parametrize(
    "fields", [{"a": "{{one}}"}, {"a": ["{{one}} x"]}, {"a": {"b": "{{one}}"}}]
)
def test_tag_can_read_the_parts_for_the_variables_in_its_fields(fields):
    variables = (header("one"), header("two"))

    assert headers_of(a_tag(fields=fields), variables=variables) == [r"x\-one"]


@pytest.mark.parametrize(
    "more",
    [
        {"value": "{{two}}"},
        {"key": "{{two}}"},
        {"input": "{{two}}"},
        {"default": "{{two}}"},
        {"fields": {"a": "{{two}}"}},
        {"rows": (LookupRow(key="{{two}}"),)},
        {"rows": (LookupRow(key="a", value="{{two}}"),)},
    ],
)
def test_variable_can_read_the_parts_for_the_variables_in_it(more):
    asked = Variable(name="one", type=VariableSource.EVENT_DATA, **more)
    two = header("two", default="{{one}}")

    assert headers_of(a_tag(fields={"a": "{{one}}"}), variables=(asked, two)) == [r"x\-two"]


def test_variable_of_a_template_can_read_the_parts_of_its_template():
    asked = Variable(name="one", type=VariableSource.TEMPLATE, template="lookup")
    crm = a_tag(fields={"a": "{{one}}"})
    templates = {name: template(name, reads(name)) for name in ("crm", "lookup", "other")}
    container = Container(tags=(crm,), templates=templates, variables=(asked,))

    assert sorted(readable(container, crm).cookies) == ["crm", "lookup"]


@pytest.mark.parametrize(
    "change",
    [
        {"set": {"a": "{{one}}"}},
        {"when": (when("{{one}}"),)},
        {"when": (when("a", "{{one}}"),)},
    ],
)
def test_transformations_can_read_parts_for_each_tag(change):
    changes = (Transformation(name="t", **change),)

    assert headers_of(a_tag(), variables=(header("one"),), transformations=changes) == [r"x\-one"]


def triggers():
    return (
        ContainerTrigger(name="one", when=(when("{{one}}"),)),
        ContainerTrigger(name="two", when=(when("a", "{{two}}"),)),
        ContainerTrigger(name="group", all_of=("one", "two", "group", "gone")),
        ContainerTrigger(name="three", when=(when("{{three}}"),)),
    )


@pytest.mark.parametrize(
    ("tag", "names"),
    [
        ({"triggers": ("one",)}, [r"x\-one"]),
        ({"unless": ("two",)}, [r"x\-two"]),
        ({"triggers": ("group",)}, [r"x\-one", r"x\-two"]),
        ({"triggers": ("gone",)}, []),
        ({}, []),
    ],
)
@pytest.mark.parametrize("decides", [True, False])
def test_triggers_can_read_parts_only_if_the_run_decides(tag, names, decides):
    variables = tuple(map(header, ("one", "two", "three")))
    found = headers_of(a_tag(**tag), variables=variables, triggers=triggers(), decides=decides)

    assert found == (names if decides else [])


def test_tag_that_creates_events_can_read_the_parts_of_all_tags():
    asked = Variable(name="one", type=VariableSource.TEMPLATE, template="lookup")
    first = Container(
        tags=(a_tag(),),
        templates={name: template(name, reads(name)) for name in ("crm", "lookup", "unused")},
        variables=(asked, header("two")),
    )
    second = a_container(a_tag("other"), variables=(header("three"),))
    found = readable_by_all([first, second])

    assert sorted(found.cookies) == ["crm", "lookup", "other"]
    assert sorted(found.headers) == [r"x\-three", r"x\-two"]
    assert readable_by_all([]) == ReadableRequest()


@pytest.mark.parametrize(
    ("grant", "may"),
    [(CALLS, may_run_container), (COOKIES, may_respond)],
    ids=["calls", "responds"],
)
def test_permissions_of_a_tag_include_those_of_its_setup_and_cleanup_tags(grant, may):
    beside = {"setup": SequencedTag(tag="other"), "teardown": SequencedTag(tag="other")}
    for name in ("crm", "other"):
        templates = {each: template(each, reads("a")) for each in ("crm", "other")}
        templates[name] = template(name, reads("a"), grant)
        for tag, expected in (
            (a_tag(), name == "crm"),
            (a_tag(setup=beside["setup"]), True),
            (a_tag(teardown=beside["teardown"]), True),
        ):
            container = Container(tags=(tag, a_tag("other")), templates=templates)
            assert may(container, tag) is expected
    assert not may(Container(tags=(a_tag(),), templates={}), a_tag())


def test_templates_of_a_first_turn_are_those_of_tag_fields_and_triggers():
    field = Variable(name="field", type=VariableSource.TEMPLATE, template="field")
    again = Variable(name="again", type=VariableSource.TEMPLATE, template="field")
    kind = Variable(name="kind", type=VariableSource.TEMPLATE, template="condition")
    gone = Variable(name="gone", type=VariableSource.TEMPLATE, template="gone")
    crm = a_tag(
        setup=SequencedTag(tag="first"),
        triggers=("one",),
        fields={"a": "{{field}} {{again}} {{gone}}"},
    )
    conditions = (when("{{kind}}"), when("{{gone}}"))
    container = Container(
        tags=(crm, a_tag("first")),
        triggers=(ContainerTrigger(name="one", when=conditions),),
        variables=(field, again, kind, gone),
        templates={
            name: template(name) for name in ("crm", "first", "field", "condition", "unused")
        },
    )
    own, of_triggers = templates_before_response(container, crm)

    assert [each.name for each in own] == ["crm", "first", "field"]
    assert [each.name for each in of_triggers] == ["condition"]


def source(type_, key="a.b"):
    return Variable(name="one", type=type_, key=key)


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        (source(VariableSource.REQUEST_HEADER, "X-A.b"), {"headers": (r"x\-a\.b",)}),
        (source(VariableSource.REQUEST_HEADER, "{{a}}"), {"headers": (r"[\s\S]*",)}),
        (source(VariableSource.COOKIE), {"cookies": (r"a\.b",)}),
        (source(VariableSource.COOKIE, "{{a}}"), {"cookies": (r"[\s\S]*",)}),
        (source(VariableSource.QUERY_PARAMETER), {"query": (r"a\.b",)}),
        (source(VariableSource.QUERY_PARAMETER, "{{a}}"), {"query": (r"[\s\S]*",)}),
        (source(VariableSource.QUERY_STRING), {"query": (r"[\s\S]*",)}),
        (source(VariableSource.REQUEST_PATH), {"parts": frozenset({"path"})}),
        (source(VariableSource.EVENT_DATA), {}),
    ],
)
def test_source_of_a_variable_sets_the_part_that_it_reads(variable, found):
    crm = a_tag(fields={"a": "{{one}}"})
    container = Container(tags=(crm,), templates={}, variables=(variable,))
    read = readable(container, crm)

    made = ReadableRequest(**found)
    assert (read.parts, len(read.headers), len(read.cookies), len(read.query)) == (
        made.parts, len(made.headers), len(made.cookies), len(made.query),
    )  # fmt: skip
    if not found or "parts" in found:
        return
    [kind] = found
    names = names_of(kept(NAMED, read, hashed=False))[kind]
    if "{{" in variable.key or variable.type is VariableSource.QUERY_STRING:
        assert names == ["x-a.b", "a.b", "other"]
    else:
        assert names == ["x-a.b" if kind == "headers" else "a.b"]


NAMED = IncomingRequest(
    query="x-a.b=1&a.b=2&other=3",
    headers=(
        ("x-a.b", "1"), ("a.b", "2"), ("other", "3"), ("cookie", "x-a.b=1; a.b=2; other=3"),
    ),
)  # fmt: skip


def names_of(request):
    headers = dict(request.headers)
    cookies = headers.pop("cookie", "").split("; ")
    return {
        "headers": list(headers),
        "cookies": [each.partition("=")[0] for each in cookies],
        "query": [each.partition("=")[0] for each in request.query.split("&")],
    }


WHOLE = ReadableRequest(
    headers=(r"[\s\S]*",),
    cookies=(r"[\s\S]*",),
    query=(r"[\s\S]*",),
    parts=frozenset({"path", "body", "remote_address"}),
)
REQUEST = IncomingRequest(
    method="POST",
    path="/data",
    query="a=1&api_secret=s&&b",
    headers=(
        ("host", "shop.example"),
        ("x-a", "b"),
        ("authorization", "Bearer key"),
        ("cookie", "a=1; broken; b=2"),
        ("x-other", "c=1"),
    ),
    body="text",
    remote_address="203.0.113.7",
)


def test_sealed_payload_has_each_readable_part():
    stored = kept(REQUEST, WHOLE, hashed=False)

    assert (stored.method, stored.path, stored.query) == ("POST", "/data", "a=1&b")
    assert stored.headers == (
        ("host", "shop.example"), ("x-a", "b"), ("x-other", "c=1"), ("cookie", "a=1; b=2"),
    )  # fmt: skip
    assert (stored.body, stored.remote_address) == ("text", "203.0.113.7")


def test_sealed_payload_has_readable_parts_with_personal_data():
    request = IncomingRequest(
        query="mail=a%40mail.example",
        headers=(("x-customer-name", "Ann"), ("cookie", "mail=a%40mail.example")),
    )
    stored = kept(request, WHOLE, hashed=False)

    assert (stored.query, stored.headers) == (request.query, request.headers)


def test_unsealed_payload_has_only_plain_headers_of_an_unlimited_permission():
    stored = kept(REQUEST, WHOLE, hashed=True)

    assert stored.headers == (("host", "shop.example"),)
    assert (stored.body, stored.remote_address, stored.path) == (None, "203.0.113.7", "/data")
    assert stored.query == "a=1&b"


@pytest.mark.parametrize("hashed", [True, False])
def test_payload_has_no_part_without_a_permission(hashed):
    assert kept(REQUEST, ReadableRequest(), hashed=hashed) == IncomingRequest(method="POST")


def test_unlimited_permissions_are_named():
    assert WHOLE.unnamed == ("cookies", "headers")
    assert ReadableRequest(cookies=("a",), query=(r"[\s\S]*",)).unnamed == ()
