"""The clients of a server container, together with those of twite.toml."""

from pathlib import Path

import msgspec
import pytest

from builders import a_source
from twite.domain.errors import SettingsError
from twite.domain.incoming_request import IncomingRequest
from twite.tags.clients.conversation import TemplateClient
from twite.tags.container import parts
from twite.tags.settings.containers import with_those_of
from twite.tags.settings.templates import load_template

TEMPLATE = load_template(Path(__file__).parents[2] / "tags/templates" / "client_orders.tpl")
SHOP, LAB = a_source(), a_source(name="lab")


def a_container(**fields: object) -> parts.Container:
    return parts.Container(
        clients=(
            parts.ContainerClient(name="GA4"),
            parts.ContainerClient(name="Orders", template="orders", fields=fields, priority=10),
        ),
        variables=(
            parts.Variable(name="Key", type=parts.VariableSource.CONSTANT, value="a-secret"),
            parts.Variable(name="Host", type=parts.VariableSource.REQUEST_HEADER, key="host"),
        ),
        templates={"orders": TEMPLATE},
    )


def test_client_templates_of_a_container_are_added_but_not_googles_own_clients():
    own = TemplateClient(name="own", template=TEMPLATE, source=SHOP)

    found = with_those_of((own,), (a_container(),), source=None, sources=(SHOP,))

    assert [(client.name, client.source, client.priority) for client in found] == [
        ("own", SHOP, 0),
        ("Orders", SHOP, 10),
    ]


def test_variables_fill_in_the_fields_of_a_container_client():
    container = a_container(secret="{{Key}}", path="/{{Host}}/orders")
    [client] = with_those_of((), (container,), source="lab", sources=(SHOP, LAB))

    fields = client.fields_for(IncomingRequest(headers=(("host", "t.shop.example"),)), now=0)

    assert client.source == LAB
    assert fields == {"secret": "a-secret", "path": "/t.shop.example/orders"}


def test_client_field_with_an_undefined_variable_has_no_default():
    [client] = with_those_of((), (a_container(path="{{Host}}"),), source=None, sources=(SHOP,))

    assert client.fields_for(IncomingRequest(), now=0) == {}


def test_missing_client_fields_have_the_templates_defaults():
    [client] = with_those_of((), (a_container(),), source=None, sources=(SHOP,))

    assert client.fields_for(IncomingRequest(), now=0) == {"path": "/hooks/orders"}


@pytest.mark.parametrize(
    ("source", "sources", "words"),
    [
        (None, (SHOP, LAB), "container.client_source: is missing"),
        (None, (), "there is no [[source]]"),
        ("no", (SHOP,), "'no' is not a source"),
    ],
)
def test_container_client_needs_a_source_unless_there_is_only_one(source, sources, words):
    with pytest.raises(SettingsError) as caught:
        with_those_of((), (a_container(),), source=source, sources=sources)

    assert words in str(caught.value)


def test_client_names_must_be_unique():
    own = TemplateClient(name="Orders", template=TEMPLATE, source=SHOP)

    with pytest.raises(SettingsError, match="both named 'Orders'"):
        with_those_of((own,), (a_container(),), source=None, sources=(SHOP,))


def test_secrets_of_a_container_client_are_hidden_and_its_hosts_allowed():
    container = msgspec.structs.replace(
        a_container(),
        clients=(
            parts.ContainerClient(
                name="Orders",
                template="orders",
                fields={"secret": "a-key"},
                secrets={"secret": "secret:1"},
            ),
        ),
    )

    [client] = with_those_of(
        (), (container,), source=None, sources=(SHOP,), allow_hosts=frozenset({"stock.internal"})
    )

    assert [secret.reveal() for secret in client.secrets] == ["a-key"]
    assert client.field_secrets == client.secrets
    assert client.allow_hosts == {"stock.internal"}
