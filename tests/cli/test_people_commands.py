"""`twite user`, `twite key` and `twite audit`, with and without a running gateway."""

import asyncio
import getpass
import io
import json
import shutil
import sqlite3
import sys
from contextlib import closing

import pytest
from command_stage import ENVIRONMENT, settings_in
from command_stage import twite as run_apart

import fork_server
from twite.app.gateway_builder import start_gateway
from twite.config.settings import load

PASSWORD = "a sentence that does well"


@pytest.fixture
def config(tmp_path):
    return settings_in(tmp_path)


@pytest.fixture
def twite(command, config):
    """Run a command in this process, with the settings."""
    return lambda *arguments: command(*arguments, "--config", str(config))


@pytest.fixture
def add(twite, monkeypatch):
    def add_user(name, *more, password=PASSWORD):
        monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
        return twite("user", "add", name, "--password-stdin", *more)

    return add_user


@pytest.fixture
def listed(twite):
    return lambda what: json.loads(twite(what, "list", "--json")[1])


@pytest.fixture(scope="module")
def store_of_three(tmp_path_factory):
    """A store with three users, and so with three entries in its audit log."""
    folder = tmp_path_factory.mktemp("three")
    for name in ("ada", "olga", "vic"):
        add_in_a_process(settings_in(folder), name)
    return folder / "twite.db"


@pytest.fixture
def audited(tmp_path, store_of_three):
    """The path of a copy of that store, next to the settings."""
    for file in store_of_three.parent.glob("twite.db*"):
        shutil.copy(file, tmp_path)
    return tmp_path / "twite.db"


def add_in_a_process(config, name):
    """Add an admin in a separate process, with a real standard input."""
    done = fork_server.run(
        [
            *(sys.executable, "-m", "twite", "user", "add", name, "--password-stdin"),
            *("--role", "admin", "--config", str(config)),
        ],
        input=PASSWORD + "\n",
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_first_user_is_created_without_a_store(config, listed):
    code, out, err = add_in_a_process(config, "ada")

    assert (code, err) == (0, "")
    assert out == "ada can now sign in at http://127.0.0.1:0/console as admin.\n"
    assert [(entry["name"], entry["role"], entry["pixels"]) for entry in listed("user")] == [
        ("ada", "admin", None)
    ]


def test_user_list_says_that_the_console_is_closed_until_an_admin_exists(twite, add):
    closed = "so nobody can use the console. Create one: twite user add NAME --role admin"

    first = add("vic")
    users = twite("user", "list")
    second = add("ada", "--role", "admin")
    third = add("olga")

    assert (first[0], users[0]) == (0, 0)
    assert (closed in first[2], closed in users[2]) == (True, True)
    assert (second[2], third[2]) == ("", "")


def test_weak_password_exits_1_with_one_sentence(add):
    code, out, err = add("ada", password="password1234")

    assert (code, out) == (1, "")
    assert "common words and keyboard rows" in err


def test_unknown_pixel_of_a_user_exits_2(add):
    code, _, err = add("ada", "--pixel", "nothing")

    assert code == 2
    assert "Available: o8z6j" in " ".join(err.replace("│", " ").split())


def test_users_can_be_changed_and_removed_but_not_the_last_admin(twite, add, listed):
    add("ada", "--role", "admin")
    add("vic", "--pixel", "o8z6j")

    role = twite("user", "role", "vic", "--role", "operator")
    codes = twite("user", "totp", "vic")
    kept = twite("user", "remove", "ada")
    gone = twite("user", "remove", "vic")
    again = twite("user", "remove", "vic")

    assert role[:2] == (0, "vic is now operator and sees all pixels.\n")
    assert (codes[0], gone[0]) == (0, 0)
    assert (kept[0], "only admin" in kept[2]) == (1, True)
    assert (again[0], "no user 'vic'" in again[2]) == (1, True)
    assert [(entry["what"], entry["subject"]) for entry in reversed(listed("audit"))] == [
        ("user.add", "ada"),
        ("user.add", "vic"),
        ("user.role", "vic"),
        ("user.codes_off", "vic"),
        ("user.remove", "vic"),
    ]


async def test_user_command_is_executed_by_the_running_gateway(config):
    gateway = await start_gateway(load(config, ENVIRONMENT))
    try:
        made = await asyncio.to_thread(add_in_a_process, config, "ada")
        key = await _in_a_process("key", "add", "reports", "--scope", "history", "-c", str(config))
        users = await _in_a_process("user", "list", "--json", "-c", str(config))
    finally:
        await gateway.stop()

    assert made[0] == 0
    assert key[1].startswith("twk_")
    assert [user["name"] for user in json.loads(users[1])] == ["ada"]


def test_api_key_is_printed_once_and_can_be_revoked(twite, listed):
    code, out, err = twite("key", "add", "reports", "--scope", "history", "--scope", "accounting")
    (key,) = listed("key")

    revoked = twite("key", "revoke", key["id"])

    assert (code, "shown only once" in err) == (0, True)
    assert out.strip().startswith(f"twk_{key['id']}_")
    assert (key["name"], key["scopes"], key["revoked_at"]) == (
        "reports",
        ["accounting", "history"],
        None,
    )
    assert revoked[0] == 0
    assert listed("key")[0]["revoked_at"] is not None
    assert out.strip() not in json.dumps(listed("key"))


def test_passwords_and_api_keys_are_not_in_the_store(tmp_path, audited, twite):
    _, out, _ = twite("key", "add", "reports", "--scope", "history")

    held = b"".join(file.read_bytes() for file in tmp_path.glob("twite.db*"))

    assert PASSWORD.encode() not in held
    assert out.strip().encode() not in held
    assert b"$argon2id$v=19$m=65536,t=3,p=4$" in held


def test_link_is_printed_and_not_stored(tmp_path, audited, twite):
    code, out, err = twite("user", "link", "ada")
    as_json = json.loads(twite("user", "link", "ada", "--json")[1])

    held = b"".join(file.read_bytes() for file in tmp_path.glob("twite.db*"))
    address, _, token = out.strip().rpartition("/")
    assert (code, len(token), address.endswith("/console/link")) == (0, 43, True)
    assert "within 15 minutes" in err
    assert as_json["link"].startswith(address)
    assert token.encode() not in held


def test_audit_verify_accepts_an_intact_log_and_prints_its_last_hash(audited, twite):
    code, out, _ = twite("audit", "verify", "--json")

    verdict = json.loads(out)
    again = twite("audit", "verify", "--head", verdict["head"])
    assert (code, again[0]) == (0, 0)
    assert (verdict["whole"], verdict["entries"], len(verdict["head"])) == (True, 3, 64)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_event SET who = 'eve' WHERE number = 2",
        "UPDATE audit_event SET at = at + 1 WHERE number = 2",
        "UPDATE audit_event SET hash = zeroblob(32) WHERE number = 2",
        "DELETE FROM audit_event WHERE number = 2",
    ],
)
def test_audit_verify_finds_a_changed_entry(audited, twite, change):
    with closing(sqlite3.connect(audited, isolation_level=None)) as store:
        store.execute(change)

    code, out, err = twite("audit", "verify")

    assert (code, out) == (1, "")
    assert err.startswith("Entry 2 does not match its hash")


def test_audit_verify_finds_a_truncated_log_with_the_saved_hash(audited, twite):
    head = json.loads(twite("audit", "verify", "--json")[1])["head"]
    with closing(sqlite3.connect(audited, isolation_level=None)) as store:
        store.execute("DELETE FROM audit_event WHERE number = 3")

    whole = twite("audit", "verify")
    known = twite("audit", "verify", "--head", head)

    assert whole[0] == 0
    assert (known[0], f"does not contain {head}" in known[2]) == (1, True)


async def _in_a_process(*arguments):
    return await asyncio.to_thread(run_apart, *arguments)


def test_password_without_a_terminal_needs_standard_input(twite, monkeypatch):
    # What getpass does without a terminal.
    monkeypatch.setattr(getpass, "getpass", getpass.fallback_getpass)
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD))

    code, out, err = twite("user", "add", "ada", "--json")

    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == (
        "Error: there is no terminal to ask for a password. Pass it on standard input, with "
        "--password-stdin"
    )
    assert "Warning" not in err
