"""Of a request, what waits for a tag: what its permissions name, and never a key."""

from pathlib import Path

from twite.gateway.tags.reading import kept, readable
from twite.sgtm.container.parts import Container, Source, Tag, Variable
from twite.sgtm.sandbox import Incoming
from twite.sgtm.template import read_template

TEMPLATE = read_template((Path(__file__).parents[1] / "templates/crm_post.tpl").read_bytes())
REQUEST = Incoming(
    method="POST",
    path="/data",
    query="api_secret=s3cret&mail=a%40mail.example&ref=x",
    headers=(
        ("authorization", "Bearer key"),
        ("cookie", "session=private; _fbp=fb.1.2.3"),
        ("referer", "https://shop.example/?e=a%40mail.example&x=1"),
    ),
    body='{"email": "a@mail.example"}',
    remote_address="203.0.113.7",
)


def of(*variables: Variable, **fields: str) -> Incoming:
    tag = Tag(name="crm", template="crm", fields=fields)
    container = Container(tags=(tag,), variables=variables, templates={"crm": TEMPLATE})
    return kept(REQUEST, readable(container, tag), hashed=True)


def test_only_the_cookies_that_a_permission_names_are_kept():
    assert of() == Incoming(method="POST", headers=(("cookie", "_fbp=fb.1.2.3"),))


def test_what_a_variable_reads_is_kept_without_persons():
    page = Variable(name="page", type=Source.REQUEST_HEADER, key="Referer")
    query = Variable(name="query", type=Source.QUERY_STRING)

    found = of(page, query, note="{{page}} {{query}}")

    assert ("referer", "https://shop.example/?x=1") in found.headers
    assert found.query == "ref=x"


def test_a_key_is_never_kept():
    any_header = Variable(name="any", type=Source.REQUEST_HEADER, key="{{which}}")

    found = of(any_header, note="{{any}}")

    assert "authorization" not in dict(found.headers)
