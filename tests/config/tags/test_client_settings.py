"""`[[client]]` in twite.toml."""

from pathlib import Path

import pytest

from fakes import MovingClock, ScriptedWeb
from twite.domain.incoming_request import IncomingRequest
from twite.gateway.ports.transport import NoResponse
from twite.tags.clients.effects import ClientOutbound
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.google.requests import GoogleClient
from twite.tags.settings.tag_settings import TagSettings
from twite.tags.template.effects import ClaimEffect, HttpEffect
from twite.tags.template.sandbox import Call, EffectAnswer
from written import GOOD, complaint, read

TEMPLATES = Path(__file__).parents[2] / "tags/templates"
ORDERS = f'[[client]]\ntemplate = "{TEMPLATES}/client_orders.tpl"\n'
SECOND = '\n[[source]]\nname = "lab"\nkey = "another-key-nobody-guesses"\npixel = "o8z6j"\n'


def clients_in(folder, text):
    return read(folder, text).feature(TagSettings).clients


def test_client_defaults_to_the_name_of_its_template_and_the_only_source(tmp_path):
    [client] = clients_in(tmp_path, f"{GOOD}\n{ORDERS}")

    assert (client.name, client.source.name, client.priority) == ("Orders by webhook", "shop", 0)
    assert client.fields == {"path": "/hooks/orders"}


def test_empty_text_field_is_undefined_in_the_template(tmp_path):
    text = (TEMPLATES / "client_orders.tpl").read_text()
    code = "___SANDBOXED_JS_FOR_SERVER___\n"
    assert code in text
    asks = "if (data.secret !== undefined) return;\n"
    (tmp_path / "own.tpl").write_text(text.replace(code, f"{code}\n{asks}"))
    [client] = clients_in(tmp_path, f'{GOOD}\n[[client]]\ntemplate = "own.tpl"\n')
    asked = IncomingRequest(method="POST", path="/hooks/orders", body="{}")

    turn = QuickJsEngine(client.template).start(
        Call(fields=client.fields_for(asked, now=0), request=asked, now=0, seed=1)
    )

    assert ClaimEffect() in turn.effects


def test_client_gets_its_configured_fields(tmp_path):
    (tmp_path / "secret").write_text("kept in a file\n")
    written = (
        'name = "orders"\nsource = "lab"\npriority = -5\n'
        '[client.fields]\npath = "/in"\nsecret = "file:secret"\n'
    )

    [client] = clients_in(tmp_path, f"{GOOD}{SECOND}\n{ORDERS}{written}")

    assert (client.name, client.source.name, client.priority) == ("orders", "lab", -5)
    assert client.fields == {"path": "/in", "secret": "kept in a file"}
    assert "kept in a file" in {secret.reveal() for secret in client.secrets}
    assert [secret.reveal() for secret in client.field_secrets] == ["kept in a file"]


def test_secret_in_plain_text_in_a_client_field_is_hidden_and_reported(tmp_path):
    found = read(tmp_path, f'{GOOD}\n{ORDERS}[client.fields]\nsecret = "sesame-open"\n')

    [client] = found.feature(TagSettings).clients
    assert [secret.reveal() for secret in client.field_secrets] == ["sesame-open"]
    assert "sesame-open" in {secret.reveal() for secret in client.secrets}
    assert any("client[0].fields.secret: a secret in plain text" in text for text in found.warnings)
    assert "sesame-open" not in f"{found.warnings}"


def test_allow_hosts_permits_requests_to_internal_hosts(tmp_path):
    written = 'allow_hosts = ["Stock.internal", "[::1]"]\n'

    [client] = clients_in(tmp_path, f"{GOOD}\n{ORDERS}{written}")

    assert client.allow_hosts == {"stock.internal", "::1"}


class NothingFromX:
    async def take(self, _request, **_source):
        return None


def outbound(web):
    return ClientOutbound(web, NothingFromX(), GoogleClient(clock=MovingClock()))


async def test_client_can_send_requests_to_its_allowed_hosts(tmp_path):
    [client] = clients_in(tmp_path, f'{GOOD}\n{ORDERS}allow_hosts = ["stock.internal"]\n')
    web = ScriptedWeb()

    await outbound(web).fetch(
        HttpEffect(id=1, url="http://stock.internal/", method="GET"),
        client=client,
        log_message=print,
    )

    assert [request.allow_hosts for request in web.asked] == [{"stock.internal"}]


async def test_interrupted_response_to_a_client_template_is_a_failure(tmp_path):
    [client] = clients_in(tmp_path, f"{GOOD}\n{ORDERS}")
    web = ScriptedWeb(
        [NoResponse(reason="the response (200) could not be read completely", left=True)]
    )

    reported = await outbound(web).fetch(
        HttpEffect(id=1, url="https://a.example/", method="GET"), client=client, log_message=print
    )

    assert reported == EffectAnswer(id=1, reason="failed")


def test_template_file_beside_the_settings_is_found(tmp_path):
    (tmp_path / "own.tpl").write_bytes((TEMPLATES / "client_orders.tpl").read_bytes())

    assert len(clients_in(tmp_path, f'{GOOD}\n[[client]]\ntemplate = "own.tpl"\n')) == 1


def test_unknown_client_field_is_kept_with_a_warning(tmp_path):
    settings = read(tmp_path, f"{GOOD}\n{ORDERS}fields = {{ pth = 5 }}\n")

    assert settings.feature(TagSettings).clients[0].fields["pth"] == 5
    assert [warning for warning in settings.warnings if warning.startswith("client[0]")] == [
        "client[0].fields.pth: is not a field of this template"
    ]


@pytest.mark.parametrize(
    ("written", "place", "words"),
    [
        ('[[client]]\ntemplate = "no.tpl"', "no.tpl", "cannot be read"),
        (
            f'[[client]]\ntemplate = "{TEMPLATES}/ads_promise.tpl"',
            "client[0].template",
            "is not a client template: its INFO section has the type TAG",
        ),
        (f'{ORDERS}source = "shp"', "client[0].source", "'shp' is not a source"),
        (f"{ORDERS}{ORDERS}", "client[1].name", "another client is already named"),
        (f'{ORDERS}fields = {{ path = "" }}', "client[0].fields.path", "must not be empty"),
        (f"{ORDERS}fields = {{ path = 2026-01-01 }}", "client[0].fields.path", "date or time"),
        (f'{ORDERS}fields = {{ secret = "env:NOT_SET" }}', "client[0].fields.secret", "NOT_SET"),
        (f'{ORDERS}prioritty = "1"', "client[0].prioritty", "Did you mean 'priority'"),
        (f"{SECOND}\n{ORDERS}", "client[0].source", "the source of these events, one of: shop"),
    ],
)
def test_wrong_client_setting_is_explained_with_its_place(tmp_path, written, place, words):
    said = complaint(tmp_path, f"{GOOD}\n{written}\n")

    assert place in said
    assert words in said


def test_syntax_error_of_a_client_template_has_its_line(tmp_path):
    text = '___INFO___\n{"type": "CLIENT"}\n___SANDBOXED_JS_FOR_SERVER___\n\nlet = ;\n'
    (tmp_path / "broken.tpl").write_text(text)

    said = complaint(tmp_path, f'{GOOD}\n[[client]]\ntemplate = "broken.tpl"\n')

    assert "broken.tpl, line 5" in said
