"""A queued payload holds the request parts that the tag may read, and never a key."""

from pathlib import Path

import msgspec
import pytest

from twite.domain.incoming_request import IncomingRequest
from twite.tags.container.parts import Container, ContainerTag, Variable, VariableSource
from twite.tags.run.readable_request import kept, readable
from twite.tags.template.permissions import Grant
from twite.tags.template.template import Template, read_template

TEMPLATE = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())
REQUEST = IncomingRequest(
    method="POST",
    path="/data",
    query="api_secret=s3cret&mail=a%40mail.example&ref=x",
    headers=(
        ("authorization", "Bearer key"),
        ("cookie", "session=private; _fbp=fb.1.2.3"),
        ("user-agent", "Mozilla/5.0"),
        ("referer", "https://shop.example/?e=a%40mail.example&x=1"),
    ),
    body='{"email": "a@mail.example"}',
    remote_address="203.0.113.7",
)


def stored_request(
    *variables: Variable,
    template: Template = TEMPLATE,
    hashed: bool = True,
    request: IncomingRequest = REQUEST,
    **fields: str,
) -> IncomingRequest:
    tag = ContainerTag(name="crm", template="crm", fields=fields)
    container = Container(tags=(tag,), variables=variables, templates={"crm": template})
    return kept(request, readable(container, tag), hashed=hashed)


def test_only_permitted_cookies_are_stored_in_a_payload():
    assert stored_request() == IncomingRequest(
        method="POST", headers=(("cookie", "_fbp=fb.1.2.3"),)
    )


def test_data_read_by_variables_is_stored_without_personal_data():
    page = Variable(name="page", type=VariableSource.REQUEST_HEADER, key="Referer")
    query = Variable(name="query", type=VariableSource.QUERY_STRING)

    found = stored_request(page, query, note="{{page}} {{query}}")

    assert ("referer", "https://shop.example/?x=1") in found.headers
    assert found.query == "ref=x"


@pytest.mark.parametrize(("key", "kept_query"), [("ref", "ref=x"), ("mail", ""), ("ri", "")])
def test_only_the_query_parameter_that_a_variable_reads_is_stored(key, kept_query):
    asked = Variable(name="asked", type=VariableSource.QUERY_PARAMETER, key=key)

    assert stored_request(asked, note="{{asked}}").query == kept_query


def test_secret_query_parameter_is_never_stored():
    asked = Variable(name="asked", type=VariableSource.QUERY_PARAMETER, key="api_secret")

    assert stored_request(asked, note="{{asked}}", hashed=False).query == ""


def test_source_key_is_never_stored_in_a_payload():
    any_header = Variable(name="any", type=VariableSource.REQUEST_HEADER, key="{{which}}")

    found = stored_request(any_header, note="{{any}}")

    assert "authorization" not in dict(found.headers)


@pytest.mark.parametrize(
    ("permission", "parameters"),
    [
        ("read_request", {"requestAccess": "any"}),
        ("read_request", {"headersAllowed": True, "headerAccess": "any"}),
        ("get_cookies", {"cookieAccess": "any"}),
        ("get_cookies", {"cookieAccess": "specific", "cookieNames": ["*"]}),
    ],
)
def test_unsealed_payload_stores_only_named_cookies_and_headers(permission, parameters):
    sure = {"requestAccess": "specific"} if permission == "read_request" else {}
    open_ = granting(permission, **sure | parameters)

    clear = stored_request(template=open_)
    sealed = stored_request(template=open_, hashed=False)

    assert "private" not in repr(clear) + repr(clear.headers)
    assert "referer" not in dict(clear.headers)
    assert dict(clear.headers).get("user-agent") in {None, "Mozilla/5.0"}
    assert {"referer", "cookie"} & set(dict(sealed.headers))


def test_permission_for_named_headers_limits_an_unlimited_one():
    both = msgspec.structs.replace(
        TEMPLATE, grants=(*TEMPLATE.grants, *granting("get_cookies", cookieAccess="any").grants)
    )

    assert dict(stored_request(template=both).headers) == {"cookie": "_fbp=fb.1.2.3"}


def test_unsealed_payload_stores_no_part_that_may_contain_personal_data():
    all_of_it = granting("read_request", requestAccess="any")
    asked = msgspec.structs.replace(
        REQUEST,
        path="/u/a@mail.example/data",
        query="name=Ann&tel=%2B442079460958&dtdc=eyJuYW1lIjoiQW5uIn0&ref=x",
        body='{"name": "Ann"}',
    )

    clear = stored_request(template=all_of_it, request=asked)
    sealed = stored_request(template=all_of_it, request=asked, hashed=False)

    assert (clear.body, clear.path, clear.query) == (None, "/u/-/data", "ref=x")
    assert (sealed.body, sealed.path) == (asked.body, asked.path)


@pytest.mark.parametrize(
    ("header", "value", "waits"),
    [
        ("x-customer-name", "Ann", None),
        ("x-note", "call +442079460958", "call ***"),
        ("cookie", "who=a%40mail.example; customer_name=Ann; ref=x", "ref=x"),
    ],
)
def test_named_header_is_stored_without_personal_data(header, value, waits):
    named = granting("read_request", headersAllowed=True, headerAccess="any")
    cookies = granting(
        "get_cookies",
        cookieAccess="specific",
        cookieNames=["who", "customer_name", "ref"],
    )
    reads = Variable(name="it", type=VariableSource.REQUEST_HEADER, key=header)
    template = msgspec.structs.replace(named, grants=(*named.grants, *cookies.grants))
    asked = msgspec.structs.replace(REQUEST, headers=((header, value),))

    found = stored_request(reads, template=template, request=asked, note="{{it}}")

    assert dict(found.headers).get(header) == waits


def granting(permission, **parameters):
    grant = Grant(permission=permission, parameters=parameters)
    return msgspec.structs.replace(TEMPLATE, grants=(grant,))
