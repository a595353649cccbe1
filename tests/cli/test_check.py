import json
import re
import socket

import pytest
from command_stage import settings_in, store_in

from twite_emulator.process import Emulator


def lines_of(out: str, sign: str) -> list[str]:
    return [line[9:] for line in out.splitlines() if line.startswith(sign)]


def test_check_exits_0_if_all_checks_pass(command, tmp_path, x_emulator: Emulator):
    path = settings_in(tmp_path, x_emulator.url)
    path.write_text(path.read_text().replace("[x]", "[store]\nqueue = 5000\n[x]"))

    code, out, err = command("check", "--config", str(path))

    assert (code, err) == (0, "")
    shown = re.sub(r"[0-9.]+ (GiB|ms)", r"N \1", re.sub(r"SQLite [0-9.]+", "SQLite N", out))
    # The disk of the test machine may be slow or full.
    shown = "\n".join(line for line in shown.splitlines() if " disk: " not in line)
    assert shown.startswith(
        f"passed   settings: {path} is well formed\n"
        "passed   key: no secret key: Twite reads credentials only from the settings and "
        "stores none\n"
        "passed   sources: shop: servers with its key → pixel o8z6j\n"
    )
    assert (
        "passed   store: SQLite N\n"
        f"passed   store: {tmp_path}/twite.db does not exist yet; twite serve creates it\n"
        f"passed   DNS: {x_emulator.url} resolves to 127.0.0.1\n"
        f"passed   X: {x_emulator.url} answers\n"
        "passed   clock: this machine's clock agrees with X's within 30 s\n"
        "passed   credentials: pixel o8z6j: the pixel token: X did not refuse the "
        "credentials; the first conversion shows whether X accepts them\n"
        "passed   events: pixel o8z6j: purchase → o8z6k (tw-o8z6j-o8z6k), sign_up → o8z6m "
        "(tw-o8z6j-o8z6m); not checked, because X requires OAuth to look up "
        "events. A wrong id shows only when X refuses a conversion\n"
        "passed   address: 127.0.0.1:0 is free\n"
    ) in shown
    assert shown.endswith(" 0 failed")
    assert x_emulator.counted()["pixels"] == {}


def test_wrong_setting_fails_with_the_fix_and_exits_1(command, tmp_path):
    path = settings_in(tmp_path)
    path.write_text(path.read_text().replace('"o8z6k"', '"o8z6j"'))

    assert command("check", "--config", str(path)) == (
        1,
        (
            f"failed   settings: {path}, line 8, column 12, pixel[0].events.purchase: 'o8z6j' is "
            "the pixel's own id, which X refuses as an event\n"
            "         The gateway would not start.\n"
            "         → Copy the id of the event from Events Manager.\n"
            "0 passed, 0 warnings, 1 failed\n"
        ),
        "",
    )


def test_misspelt_setting_is_reported_with_the_right_name(command, tmp_path):
    path = settings_in(tmp_path)
    path.write_text(path.read_text().replace("listen =", "lissten ="))

    code, out, _ = command("check", "--config", str(path))

    assert (code, "         → Did you mean 'listen'?\n" in out) == (1, True)


def test_missing_credential_does_not_hide_other_findings(command, tmp_path, monkeypatch):
    path = settings_in(tmp_path)
    monkeypatch.delenv("X_PIXEL_TOKEN")

    code, out, _ = command("check", "--config", str(path))

    assert code == 1
    assert lines_of(out, "failed") == [
        (
            f"settings: {path}, line 7, column 10, pixel[0].auth.pixel_token: the environment "
            "variable 'X_PIXEL_TOKEN' is not set"
        ),
        "X: http://127.0.0.1:1 cannot be reached: connection refused",
    ]
    assert "  credentials:" not in out


def test_secrets_in_plain_text_in_a_readable_file_are_a_warning(command, tmp_path):
    path = settings_in(tmp_path)
    path.write_text(path.read_text().replace("env:TWITE_SHOP_KEY", "clear-text-for-everyone"))
    path.chmod(0o644)

    _, out, _ = command("check", "--config", str(path))

    assert [line for line in lines_of(out, "warning") if line.startswith("settings")] == [
        "settings: source[0].key: a secret in plain text",
        f"settings: {path} contains secrets and is readable by other users",
    ]
    assert "clear-text-for-everyone" not in out


@pytest.mark.parametrize(
    ("shift", "auth", "reported"),
    [
        (-400, "token", "warning  clock: this machine's clock is 400 s ahead of X's"),
        (400, "oauth", "failed   clock: this machine's clock is 400 s behind X's"),
        (60, "oauth", "warning  clock: this machine's clock is 60 s behind X's"),
    ],
)
def test_wrong_clock_of_the_machine_is_reported(
    command, tmp_path, x_emulator, *, shift, auth, reported
):
    x_emulator.clock(shift)
    path = settings_in(tmp_path, x_emulator.url)
    if auth == "oauth":
        keys = ("consumer_key", "consumer_secret", "token", "token_secret")
        parts = ", ".join(f'{key} = "a-part-of-some-length"' for key in keys)
        text = path.read_text().replace('pixel_token = "env:X_PIXEL_TOKEN"', parts)
        path.write_text(text)

    _, out, _ = command("check", "--config", str(path))

    # The clock may be off by half a second of rounding, plus the duration of the test.
    near = re.sub(r"(39\d|40\d|5\d|6\d) s", f"{abs(shift)} s", out)
    assert [line for line in near.splitlines() if " clock: " in line] == [reported]


def test_dead_letters_are_a_warning_and_the_balance_passes(command, tmp_path):
    path = settings_in(tmp_path)
    store_in(tmp_path)

    _, out, _ = command("check", "--config", str(path))

    assert "passed   balance: 0: 5 received, 1 pending\n" in out
    assert "dead letters: 1 dead, 1 held" in lines_of(out, "warning")


def test_store_file_that_is_not_a_store_fails(command, tmp_path):
    path = settings_in(tmp_path)
    (tmp_path / "twite.db").write_bytes(b"this is no database at all, whatever its name is")

    _, out, _ = command("check", "--config", str(path))

    assert any("file is not a database" in line for line in lines_of(out, "failed"))


def test_address_in_use_fails(command, tmp_path):
    path = settings_in(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        path.write_text(path.read_text().replace("127.0.0.1:0", listen))

        _, out, _ = command("check", "--config", str(path))

    reported = [line for line in lines_of(out, "failed") if line.startswith("address")]
    assert reported == [f"address: cannot listen on {listen} (address already in use)"]


def test_public_address_that_browsers_refuse_fails(command, tmp_path):
    path = settings_in(tmp_path)
    text = path.read_text().replace("[x]", 'public_url = "http://127.0.0.1:1"\n[x]')
    path.write_text(text.replace("key =", 'origins = ["https://shop.example"]\nkey ='))

    _, out, _ = command("check", "--config", str(path))

    assert "public address: http://127.0.0.1:1 uses HTTP, but pages use HTTPS" in lines_of(
        out, "failed"
    )
    assert lines_of(out, "warning")[-1] == (
        "public address: http://127.0.0.1:1 cannot be reached from here: connection refused"
    )


def test_check_prints_findings_as_json(command, tmp_path):
    path = settings_in(tmp_path)

    code, out, _ = command("check", "--config", str(path), "--json")

    reported = json.loads(out)
    assert (code, reported["ok"]) == (1, False)
    assert [finding for finding in reported["findings"] if finding["status"] == "failed"] == [
        {
            "topic": "X",
            "status": "failed",
            "found": "http://127.0.0.1:1 cannot be reached: connection refused",
            "meaning": ("Twite cannot deliver conversions. They stay queued in the store."),
            "fix": "Check DNS, the firewall and x.api_url. Twite uses no proxy.",
            "line": 0,
            "column": 0,
        }
    ]
