"""`twite login` and its effects: real commands, a real gateway, the emulator."""

import contextlib
import getpass
import json
import sqlite3
from contextlib import closing

import pytest
from gateway_processes import TOKEN, command, wait_for
from signing_in import OAUTH, Unsigned, log_in

from free_port import free_port

pytestmark = pytest.mark.journey

SIGNED_IN = (
    "Signed in as @example_ads for pixel o8z6j.\n"
    "Role on ads account 18ce54d4x5t: ACCOUNT_ADMIN, TWEET_COMPOSER.\n"
)
USER = "370773112"


def metric(gateway, name):
    lines = str(gateway.get("/metrics")[1]["text"]).splitlines()
    return {line for line in lines if line.startswith(name)}


def test_pixel_without_credentials_delivers_after_the_sign_in(x_emulator, tmp_path):
    with Unsigned(tmp_path, x_emulator.url) as gateway:
        assert gateway.order("order-1") == 202
        wait_for(lambda: "no user has signed in for this pixel" in gateway.log())

        ended = log_in(gateway)

        assert ended[0] == 0
        assert ended[1] == (
            f"{SIGNED_IN}The gateway (process {gateway.process.pid}) now uses the credentials.\n"
        )
        assert gateway.drained()["delivered"] == 1


def test_sign_in_with_a_callback_needs_no_pin_and_no_gateway(x_emulator, tmp_path):
    callback = f"http://127.0.0.1:{free_port()}/x/callback"
    x_emulator.add(apps=[{"id": "3213", "callbacks": [callback]}])
    gateway = Unsigned(tmp_path, x_emulator.url)

    ended = log_in(gateway, "--callback", callback)

    assert ended == (0, f"{SIGNED_IN}twite serve will use the credentials.\n", "")
    with gateway:
        gateway.order("order-1")
        assert gateway.drained()["delivered"] == 1


def test_result_of_a_sign_in_is_printed_as_json(x_emulator, tmp_path):
    code, out, _ = log_in(Unsigned(tmp_path, x_emulator.url), "--json")

    assert (code, json.loads(out)) == (
        0,
        {
            "pixel": "o8z6j",
            "kind": "oauth",
            "screen_name": "example_ads",
            "account": "18ce54d4x5t",
            "roles": ["ACCOUNT_ADMIN", "TWEET_COMPOSER"],
            "asked": True,
            "gateway": False,
        },
    )


@pytest.mark.parametrize(
    ("world", "how", "said"),
    [
        (
            {"users": [{"id": USER, "roles": {"18ce54d4x5t": ["CAMPAIGN_ANALYST"]}}]},
            {},
            ("Error: The user's roles for ads account 18ce54d4x5t are not sufficient "
             "(CAMPAIGN_ANALYST). Conversions need ACCOUNT_ADMIN or AD_MANAGER. An admin of "
             "the ads account can give the user that role (ads.x.com, Edit access to "
             "account); or sign in as a user who has it\n"),
        ),
        (
            {"apps": [{"id": "3213", "access": "none"}]},
            {},
            ("Error: X has not approved the app for its Ads API (403 "
            "UNAUTHORIZED_CLIENT_APPLICATION: The client application with id 3213 making this "
            "request does not have access to X Ads API. Ensure your application has advertiser-api "
            "access. Use 'twurl accounts' and 'twurl set default <username> <key>' to change the "
            "application you're using.). Apply at help.x.com/en/forms/xdev/conversion-api-request "
            "(up to three working days; “Conversion Only” is enough to send), and sign in again "
            "afterwards: X refuses tokens from before the approval\n"),
        ),
        (
            {},
            {"typed": "0000000"},
            (
                "Error: X refused the PIN (401 32: Could not authenticate you.). A PIN works "
                "once and expires after a few minutes. Start again, and type all its digits\n"
            ),
        ),
        (
            {},
            {"deny": "1"},
            ("Error: X refused the PIN. A PIN works once and expires after a few minutes. "
             "Start again, and type all its digits\n"),
        ),
    ],
)  # fmt: skip
def test_failed_sign_in_is_explained_and_stores_nothing(x_emulator, tmp_path, world, how, said):
    x_emulator.add(**world)
    gateway = Unsigned(tmp_path, x_emulator.url)

    ended = log_in(gateway, **how)

    assert (ended[0], ended[1]) == (1, "")
    assert ended[2].replace("\\u201c", "“").replace("\\u201d", "”") == said
    assert not (tmp_path / "twite.db").exists()


def test_revoked_token_pauses_the_pixel_until_the_next_sign_in(x_emulator, tmp_path):
    with Unsigned(tmp_path, x_emulator.url) as gateway:
        log_in(gateway)
        gateway.order("order-1")
        gateway.drained()
        tokens = [
            token["token"]
            for token in x_emulator.world()["tokens"]
            if not token["token"].endswith("eJAEb")
        ]
        x_emulator.add(tokens=[{"token": token, "revoked": True} for token in tokens])
        gateway.order("order-2")
        wait_for(lambda: "pixel paused" in gateway.log())
        checked = command(gateway, "check")

        ended = log_in(gateway)

        assert "refused the credentials for ads account 18ce54d4x5t (401" in checked.stdout
        assert "Sign in again with twite login" in checked.stdout
        assert ended[0] == 0
        assert gateway.drained()["delivered"] == 2


def test_pixel_switches_from_oauth_to_an_entered_token(x_emulator, tmp_path):
    with Unsigned(tmp_path, x_emulator.url, auth=OAUTH) as gateway:
        gateway.order("order-1")
        gateway.drained()

        ended = log_in(gateway, "--pixel-token", typed=f"{TOKEN}\n")

        gateway.order("order-2")
        assert gateway.drained()["delivered"] == 2
        assert ended[0] == 0
        assert ended[1].startswith("Stored the pixel token of o8z6j, encrypted.\nX did not refuse")
        assert metric(gateway, "twite_credentials_presented_total{") == {
            (
                'twite_credentials_presented_total{credential="pixel_token",pixel="o8z6j",'
                'verdict="taken"} 1.0'
            )
        }
        assert "X accepted a credential" in gateway.log()


def test_pixel_switches_back_to_oauth_if_x_refuses_its_token(x_emulator, tmp_path):
    with Unsigned(tmp_path, x_emulator.url, auth=OAUTH) as gateway:
        log_in(gateway, "--pixel-token", typed=TOKEN)
        x_emulator.switch(pixel_token_enabled=False)

        gateway.order("order-1")

        assert gateway.drained()["delivered"] == 1
        assert metric(gateway, "twite_credentials_presented_total{") == {
            (
                'twite_credentials_presented_total{credential="oauth",pixel="o8z6j",'
                'verdict="taken"} 1.0'
            ),
            (
                'twite_credentials_presented_total{credential="pixel_token",pixel="o8z6j",'
                'verdict="refused"} 1.0'
            ),
        }
        assert "X refused a credential; trying the other" in gateway.log()


def test_token_of_another_pixel_is_refused_before_it_is_stored(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)

    code, out, err = log_in(gateway, "--pixel-token", typed="emulator-pixel-token-o6dkt")

    assert (code, out) == (1, "")
    assert err == (
        "Error: X refused this pixel token for pixel o8z6j (401 UNAUTHORIZED_ACCESS: This "
        "request is not properly authenticated). Copy it again from X's Events Manager (the "
        "pixel, Install Pixel, Manual, Conversion API, Generate access token), and make sure "
        "that it belongs to this pixel\n"
    )


def test_key_rotation_under_a_running_gateway_keeps_stored_credentials(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    with gateway:
        log_in(gateway)

        rotated = command(gateway, "rotate-key")

        gateway.order("order-1")
        gateway.drained()
        gateway.stop()
    key = (tmp_path / "twite.secret").read_text()
    assert (rotated.returncode, rotated.stderr) == (0, "")
    assert rotated.stdout == (
        f"Wrote a new key to {tmp_path}/twite.secret: keep a copy of it, and delete the old key.\n"
        "Encrypted with it: 1 secret.\n"
    )
    assert "the-first-key" not in key
    assert sorted(path.name for path in tmp_path.iterdir() if "secret" in path.name) == [
        "twite.secret"
    ]
    with gateway:
        gateway.order("order-2")
        assert gateway.drained()["delivered"] == 2


def test_secret_key_is_rotated_without_a_gateway(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)

    rotated = command(gateway, "rotate-key", "--json")

    assert json.loads(rotated.stdout)["secrets"] == 1
    with gateway:
        gateway.order("order-1")
        assert gateway.drained()["delivered"] == 1


def test_interrupted_key_rotation_is_continued(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)
    (tmp_path / "twite.secret.former").write_text("the-first-key-that-seals\n")
    (tmp_path / "twite.secret").write_text("the-second-key-that-seals\n")

    rotated = command(gateway, "rotate-key")

    assert rotated.returncode == 0
    with gateway:
        gateway.order("order-1")
        assert gateway.drained()["delivered"] == 1


def test_gateway_with_another_key_names_the_missing_one(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)
    (tmp_path / "twite.secret").write_text("a-key-that-is-another-one\n")

    ended = command(gateway, "serve")

    assert ended.returncode == 1
    assert "Error: login/o8z6j/oauth was encrypted with the key " in ended.stderr
    assert ended.stderr.endswith("add that key to server.former_secret_keys\n")


def test_credentials_are_not_stored_without_a_secret_key(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url, auth=OAUTH)
    gateway.config.write_text(
        gateway.config.read_text().replace('secret_key = "file:twite.secret"', "")
    )

    ended = log_in(gateway, "--pixel-token", typed=TOKEN)

    assert (ended[0], ended[1]) == (1, "")
    assert "cannot store any without a key" in ended[2]
    assert not (tmp_path / "twite.db").exists()


def test_logout_deletes_and_revokes_the_credentials(x_emulator, tmp_path):
    with Unsigned(tmp_path, x_emulator.url) as gateway:
        log_in(gateway)

        ended = command(gateway, "logout", "--revoke")

        again = command(gateway, "logout")
        gateway.order("order-1")
        wait_for(lambda: "no user has signed in for this pixel" in gateway.log())
    revoked = [token for token in x_emulator.world()["tokens"] if token["revoked"]]
    assert ended.stdout == "Deleted the OAuth credentials of pixel o8z6j, and revoked it at X.\n"
    assert again.stdout == "No credentials are stored for pixel o8z6j.\n"
    assert len(revoked) == 1


@pytest.mark.parametrize("beside", [True, False], ids=["beside a gateway", "without one"])
def test_commands_for_credentials_and_keys_are_audited(x_emulator, tmp_path, beside):
    gateway = Unsigned(tmp_path, x_emulator.url)
    if beside:
        gateway.start()

    with contextlib.ExitStack() as ending:
        if beside:
            ending.callback(gateway.kill)
        log_in(gateway)
        log_in(gateway, "--pixel-token", typed=TOKEN)
        command(gateway, "rotate-key")
        command(gateway, "logout", "--revoke")
        command(gateway, "logout")
        entries = json.loads(command(gateway, "audit", "list", "--json").stdout)

    assert [(entry["what"], entry["subject"], entry["detail"]) for entry in reversed(entries)] == [
        ("connect.done", "o8z6j", "oauth as @example_ads"),
        ("connect.done", "o8z6j", "pixel_token"),
        ("secret_key.rotate", "", "the key is in twite.secret"),
        ("connect.forget", "o8z6j", "oauth, revoked at X"),
        ("connect.forget", "o8z6j", "pixel_token"),
    ]
    assert {entry["who"] for entry in entries} == {f"{getpass.getuser()} (command)"}
    assert command(gateway, "audit", "verify").returncode == 0


def test_no_secret_of_a_sign_in_is_stored_in_plain_text(x_emulator, tmp_path):
    with Unsigned(tmp_path, x_emulator.url) as gateway:
        log_in(gateway)
        log_in(gateway, "--pixel-token", typed=TOKEN)
        gateway.order("order-1")
        gateway.drained()
        gateway.stop()

    made = x_emulator.world()["tokens"]
    secrets = [TOKEN, *(app["secret"] for app in made), *(app["token"] for app in made)]
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name != "twite.toml")
    assert [secret for secret in secrets if secret.encode() in held] == []
    with closing(sqlite3.connect(tmp_path / "twite.db")) as database, database:
        assert database.execute("SELECT count(*) FROM vault").fetchone() == (2,)
