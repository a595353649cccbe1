"""The clients of a server container, together with those of twite.toml."""

from pathlib import Path

import msgspec
import pytest

from builders import a_source
from twite.config.containers import with_those_of
from twite.config.templates import load_template
from twite.domain.errors import SettingsError
from twite.gateway.tags.clients.conversation import TemplateClient
from twite.gtm.container import parts
from twite.gtm.template.sandbox import Incoming

TEMPLATE = load_template(Path(__file__).parents[1] / "templates" / "client_orders.tpl")
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


def test_a_client_that_is_a_template_comes_along_and_googles_own_do_not():
    own = TemplateClient(name="own", template=TEMPLATE, source=SHOP)

    found = with_those_of((own,), (a_container(),), source=None, sources=(SHOP,))

    assert [(client.name, client.source, client.priority) for client in found] == [
        ("own", SHOP, 0),
        ("Orders", SHOP, 10),
    ]


def test_its_fields_are_filled_in_with_what_variables_are_worth_for_the_request():
    container = a_container(secret="{{Key}}", path="/{{Host}}/orders")
    [client] = with_those_of((), (container,), source="lab", sources=(SHOP, LAB))

    fields = client.fields_for(Incoming(headers=(("host", "t.shop.example"),)), now=0)

    assert client.source == LAB
    assert fields == {"secret": "a-secret", "path": "/t.shop.example/orders"}


def test_what_a_variable_has_no_value_for_has_no_default():
    [client] = with_those_of((), (a_container(path="{{Host}}"),), source=None, sources=(SHOP,))

    assert client.fields_for(Incoming(), now=0) == {}


def test_what_is_not_given_has_the_templates_defaults():
    [client] = with_those_of((), (a_container(),), source=None, sources=(SHOP,))

    assert client.fields_for(Incoming(), now=0) == {"path": "/hooks/orders"}


@pytest.mark.parametrize(
    ("source", "sources", "words"),
    [
        (None, (SHOP, LAB), "container.client_source: is missing"),
        (None, (), "there is no [[source]]"),
        ("no", (SHOP,), "'no' is not a source"),
    ],
)
def test_whose_its_events_are_must_be_known(source, sources, words):
    with pytest.raises(SettingsError) as caught:
        with_those_of((), (a_container(),), source=source, sources=sources)

    assert words in str(caught.value)


def test_two_clients_have_two_names():
    own = TemplateClient(name="Orders", template=TEMPLATE, source=SHOP)

    with pytest.raises(SettingsError, match="both named 'Orders'"):
        with_those_of((own,), (a_container(),), source=None, sources=(SHOP,))


def test_what_its_container_keeps_secret_is_not_shown_and_the_hosts_it_opens_are_open():
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
