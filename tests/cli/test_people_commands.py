"""`twite user`, `twite key` and `twite audit`: beside a running gateway and without one."""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing

import pytest
from command_stage import ENVIRONMENT, settings_in, twite

import fork_server
from twite.app.gateway import Gateway
from twite.config.settings import load

PASSWORD = "a sentence that does well"


@pytest.fixture
def config(tmp_path):
    return settings_in(tmp_path)


def add(config, name, *more, password=PASSWORD):
    done = fork_server.run(
        [
            *(sys.executable, "-m", "twite", "user", "add", name, "--password-stdin"),
            *("--config", str(config), *more),
        ],
        input=password + "\n",
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def listed(what, config):
    return json.loads(twite(what, "list", "--config", str(config), "--json")[1])


def audit_events(config):
    return [(entry["what"], entry["subject"]) for entry in reversed(listed("audit", config))]


def test_the_first_user_is_made_where_there_is_no_store_yet(config):
    code, out, err = add(config, "ada", "--role", "admin")

    assert (code, err) == (0, "")
    assert out == "ada can now sign in at http://127.0.0.1:0/console as admin.\n"
    assert [
        (entry["name"], entry["role"], entry["pixels"]) for entry in listed("user", config)
    ] == [("ada", "admin", None)]


def test_who_comes_before_an_admin_is_told_that_the_console_is_closed(config):
    closed = "so nobody can use the console. Create one: twite user add NAME --role admin"

    first = add(config, "vic")
    users = twite("user", "list", "--config", str(config))
    second = add(config, "ada", "--role", "admin")
    third = add(config, "olga")

    assert (first[0], users[0]) == (0, 0)
    assert (closed in first[2], closed in users[2]) == (True, True)
    assert (second[2], third[2]) == ("", "")


def test_a_weak_password_is_one_sentence_and_exit_1(config):
    code, out, err = add(config, "ada", password="password1234")

    assert (code, out) == (1, "")
    assert "common words and keyboard rows" in err


def test_a_pixel_that_is_not_configured_is_wrong_usage(config):
    code, _, err = add(config, "ada", "--pixel", "nothing")

    assert code == 2
    assert "Available: o8z6j" in err


def test_roles_and_passwords_change_and_the_last_admin_stays(config):
    add(config, "ada", "--role", "admin")
    add(config, "vic", "--pixel", "o8z6j")
    where = ("--config", str(config))

    role = twite("user", "role", "vic", "--role", "operator", *where)
    codes = twite("user", "totp", "vic", *where)
    kept = twite("user", "remove", "ada", *where)
    gone = twite("user", "remove", "vic", *where)
    again = twite("user", "remove", "vic", *where)

    assert role[:2] == (0, "vic is now operator and sees all pixels.\n")
    assert (codes[0], gone[0]) == (0, 0)
    assert (kept[0], "only admin" in kept[2]) == (1, True)
    assert (again[0], "no user 'vic'" in again[2]) == (1, True)
    assert audit_events(config) == [
        ("user.add", "ada"),
        ("user.add", "vic"),
        ("user.role", "vic"),
        ("user.codes_off", "vic"),
        ("user.remove", "vic"),
    ]


async def test_beside_a_running_gateway_the_gateway_does_it(tmp_path, config):
    gateway = Gateway(load(config, ENVIRONMENT))
    await gateway.start()
    try:
        made = await _apart(add, config, "ada", "--role", "admin")
        key = await _apart(twite, "key", "add", "reports", "--scope", "lives", "-c", str(config))
        users = await _apart(listed, "user", config)
    finally:
        await gateway.stop()

    assert made[0] == 0
    assert key[1].startswith("twk_")
    assert [user["name"] for user in users] == ["ada"]


def test_a_key_is_printed_once_and_revoked(config):
    where = ("--config", str(config))
    code, out, err = twite(
        "key", "add", "reports", "--scope", "lives", "--scope", "accounting", *where
    )
    (key,) = listed("key", config)

    revoked = twite("key", "revoke", key["id"], *where)

    assert (code, "shown only once" in err) == (0, True)
    assert out.strip().startswith(f"twk_{key['id']}_")
    assert (key["name"], key["scopes"], key["revoked_at"]) == (
        "reports",
        ["accounting", "lives"],
        None,
    )
    assert revoked[0] == 0
    assert listed("key", config)[0]["revoked_at"] is not None
    assert out.strip() not in json.dumps(listed("key", config))


def test_neither_passwords_nor_keys_are_in_the_store(tmp_path, config):
    add(config, "ada", "--role", "admin")
    _, out, _ = twite("key", "add", "reports", "--scope", "lives", "--config", str(config))

    held = b"".join(file.read_bytes() for file in tmp_path.glob("twite.db*"))

    assert PASSWORD.encode() not in held
    assert out.strip().encode() not in held
    assert b"$argon2id$v=19$m=65536,t=3,p=4$" in held


def test_an_audit_that_is_whole_says_so_and_gives_its_head(config):
    add(config, "ada", "--role", "admin")

    code, out, _ = twite("audit", "verify", "--config", str(config), "--json")

    verdict = json.loads(out)
    again = twite("audit", "verify", "--head", verdict["head"], "--config", str(config))
    assert (code, again[0]) == (0, 0)
    assert (verdict["whole"], verdict["entries"], len(verdict["head"])) == (True, 1, 64)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE deed SET who = 'eve' WHERE number = 2",
        "UPDATE deed SET at = at + 1 WHERE number = 2",
        "UPDATE deed SET hash = zeroblob(32) WHERE number = 2",
        "DELETE FROM deed WHERE number = 2",
    ],
)
def test_an_entry_of_the_audit_that_was_changed_is_found(tmp_path, config, change):
    for name in ("ada", "olga", "vic"):
        add(config, name, "--role", "admin")
    with closing(sqlite3.connect(tmp_path / "twite.db", isolation_level=None)) as store:
        store.execute(change)

    code, out, err = twite("audit", "verify", "--config", str(config))

    assert (code, out) == (1, "")
    assert err.startswith("Entry 2 does not match its hash")


def test_an_audit_that_was_cut_off_does_not_know_the_head_that_was_kept(tmp_path, config):
    for name in ("ada", "olga"):
        add(config, name, "--role", "admin")
    head = json.loads(twite("audit", "verify", "--config", str(config), "--json")[1])["head"]
    with closing(sqlite3.connect(tmp_path / "twite.db", isolation_level=None)) as store:
        store.execute("DELETE FROM deed WHERE number = 2")

    whole = twite("audit", "verify", "--config", str(config))
    known = twite("audit", "verify", "--head", head, "--config", str(config))

    assert whole[0] == 0
    assert (known[0], f"does not contain {head}" in known[2]) == (1, True)


async def _apart(act, *arguments):
    return await asyncio.to_thread(act, *arguments)
