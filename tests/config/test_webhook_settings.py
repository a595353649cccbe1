"""`[[webhook]]`: keys by kind, all errors at once, and reload."""

import pytest

from twite.config.difference import difference
from twite.domain.errors import SettingsError
from twite.formats.webhook_kind import REASONS, IgnoredReason
from written import GOOD, read

WEBHOOK = """
[[webhook]]
name = "orders"
kind = "shopify"
secret = "env:SHOPIFY_SECRET"
source = "shop"
"""
ENVIRON = {"SHOPIFY_SECRET": "hush", "FORMER": "sh"}


def written(tmp_path, text=WEBHOOK, **environ):
    (webhook,) = read(tmp_path, GOOD + text, ENVIRON | environ).webhooks
    return webhook


def complaints(tmp_path, text):
    with pytest.raises(SettingsError) as wrong:
        read(tmp_path, GOOD + text, ENVIRON)
    return [str(each) for each in wrong.value.each]


def test_webhook_has_its_kind_secret_source_and_default_event(tmp_path):
    webhook = written(tmp_path)

    assert (webhook.name, webhook.kind.name) == ("orders", "shopify")
    assert [secret.reveal() for secret in webhook.secrets] == ["hush"]
    assert (webhook.source, webhook.event) == ("shop", "purchase")
    assert (webhook.options.topic, webhook.options.conversion_id) == ("orders/paid", "id")


def test_several_secrets_are_read_while_one_is_rotated(tmp_path):
    text = WEBHOOK.replace('"env:SHOPIFY_SECRET"', '["env:SHOPIFY_SECRET", "env:FORMER"]')

    assert [secret.reveal() for secret in written(tmp_path, text).secrets] == ["hush", "sh"]


def test_options_of_the_kind_are_read(tmp_path):
    webhook = written(tmp_path, f'{WEBHOOK}money = "presentment"\nalso = ["renewals"]\n')

    assert (webhook.options.money, webhook.options.also) == ("presentment", ("renewals",))


def test_secret_in_a_variable_is_text_and_not_toml(tmp_path):
    webhook = written(tmp_path, TWITE_WEBHOOK__0__SECRET="[1234]")

    assert [secret.reveal() for secret in webhook.secrets] == ["[1234]"]


def test_all_errors_are_reported_at_once(tmp_path):
    wrong = """
[[webhook]]
name = "orders"
kind = "shopify"
secret = []
source = "shop"
topik = "orders/paid"
money = "buyer"

[[webhook]]
name = "orders"
kind = "shopfy"
source = "shop"
"""
    assert complaints(tmp_path, wrong) == [
        "webhook[0].topik: unknown key. Did you mean 'topic'?",
        "webhook[0].secret: is empty. Write the sender's secret into it",
        "webhook[0].money: 'buyer' is not known. Available: presentment, shop",
        "webhook[1].kind: 'shopfy' is not known. Did you mean 'shopify'?",
        'webhook[1].secret: is missing. Set secret = ["…"]',
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'source = "shop"',
            'source = "shp"',
            "webhook[0].source: 'shp' is not the name of a [[source]]. Did you mean 'shop'?",
        ),
        (
            'source = "shop"',
            'source = "shop"\nevent = "purchas"',
            (
                "webhook[0].event: 'purchas' is not an event of the source's pixel. "
                "Did you mean 'purchase'?"
            ),
        ),
        (
            'name = "orders"',
            'name = "a/b"',
            (
                "webhook[0].name: 'a/b' is not a part of a URL. Write letters, digits, hyphens, "
                "dots and underscores"
            ),
        ),
    ],
)
def test_wrong_references_are_refused(tmp_path, old, new, message):
    assert complaints(tmp_path, WEBHOOK.replace(old, new)) == [message]


def test_names_of_webhooks_differ(tmp_path):
    (complaint,) = complaints(tmp_path, WEBHOOK + WEBHOOK)

    assert complaint.startswith("webhook[1].name: 'orders' is already the webhook")


def test_source_of_a_webhook_needs_no_key(tmp_path):
    keyless = '[[source]]\nname = "shopify"\npixel = "o8z6j"\n'

    webhook = WEBHOOK.replace('source = "shop"', 'source = "shopify"')
    read(tmp_path, GOOD + keyless + webhook, ENVIRON)
    assert "or add a [[webhook]]" in complaints(tmp_path, keyless)[0]


def test_reload_adds_changes_and_removes_webhooks(tmp_path):
    def changes(before, after, **environ):
        running = read(tmp_path, GOOD + before, ENVIRON)
        found = difference(running, read(tmp_path, GOOD + after, ENVIRON | environ))
        assert found.restart == ()
        return list(map(str, found.changes))

    assert changes("", WEBHOOK) == ["webhook orders added"]
    assert changes(WEBHOOK, "") == ["webhook orders removed"]
    assert changes(WEBHOOK, f'{WEBHOOK}money = "presentment"\n', SHOPIFY_SECRET="new") == [
        "webhook orders changed: secret, money"
    ]


def test_secret_is_not_shown(tmp_path):
    assert "hush" not in repr(written(tmp_path))


def test_every_reason_has_a_meaning():
    assert set(REASONS) == set(IgnoredReason)


MAPPED = """
[[webhook]]
name = "orders"
kind = "generic"
secret = "env:SHOPIFY_SECRET"
source = "shop"
signature = { header = "X-Sig", tolerance = 60 }
map = { conversion_id = "data.id", value = "data.total" }
"""


def test_mapping_and_signature_of_a_generic_webhook_are_read(tmp_path):
    options = written(tmp_path, MAPPED).options

    assert options.map == {"conversion_id": "data.id", "value": "data.total"}
    assert (options.signature.header, options.signature.tolerance) == ("X-Sig", 60)
    assert (options.authentication, options.message) == ("signature", "type")


def test_wrong_expressions_are_reported_with_their_place(tmp_path):
    text = MAPPED.replace("data.total", "data[").replace('"X-Sig"', '"X Sig"')

    found = complaints(tmp_path, text + 'when = "a b"\n')

    assert [text.partition(". Write names")[0] for text in found] == [
        "webhook[0].map.value: ends too early. Complete the expression",
        "webhook[0].when: is not JMESPath: unexpected 'b' at column 3",
        "webhook[0].signature.header: 'X Sig' is no name of a header. Correct it",
    ]


PRESET = """
[[webhook]]
name = "crm"
kind = "hubspot"
secret = "env:SHOPIFY_SECRET"
source = "shop"
"""


def test_preset_has_its_settings(tmp_path):
    options = written(tmp_path, PRESET).options

    assert options.signature.header == "X-HubSpot-Signature-v3"
    assert options.map["email"] == "properties.email.value || email"


def test_settings_have_priority_over_those_of_a_preset_key_by_key(tmp_path):
    own = 'map = { email = "mail" }\nsignature = { tolerance = 60 }\nmessage = "kind"\n'

    options = written(tmp_path, PRESET + own).options

    assert (options.map["email"], options.map["value"]) == (
        "mail",
        "properties.amount.value || amount",
    )
    assert (options.signature.tolerance, options.signature.encoding) == (60, "base64")
    assert options.message == "kind"


def test_event_of_a_preset_must_be_an_event_of_the_pixel(tmp_path):
    text = PRESET.replace("hubspot", "google_lead_form")

    assert complaints(tmp_path, text)[0].startswith("webhook[0].event: 'lead' is not an event")
    assert written(tmp_path, text + 'event = "sign_up"\n').event == "sign_up"


def test_reload_names_the_changed_keys_of_a_mapping(tmp_path):
    running = read(tmp_path, GOOD + MAPPED, ENVIRON)
    changed = MAPPED.replace("data.total", "data.sum").replace("60", "90")

    found = difference(running, read(tmp_path, GOOD + changed, ENVIRON))

    assert list(map(str, found.changes)) == ["webhook orders changed: map, signature.tolerance"]
