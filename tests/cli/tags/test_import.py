"""`twite import` reads a container export of Google Tag Manager."""

import asyncio
import getpass
import json
import shutil
from pathlib import Path

import pytest

from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import SecretStore
from twite.machine.seal import AesSeal
from twite.stores.sqlite import SQLiteStore
from twite.tags.settings.containers import load_container, sealed_secrets, with_secrets

CONTAINERS = Path(__file__).parents[2] / "tags/containers"
SHOP = CONTAINERS / "shop.json"
KEY = "a-key-that-seals-and-is-long-enough"
# Values of the export that must not occur elsewhere.
SECRETS = ("px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5", "px_8Yw2Rt6Kq1Nf4Jd9Gs3Bx7Mc", "wh_5Tq8Zn2Xc7Vb1Lm4Kp9Rd")


@pytest.fixture
def keyed(shop, monkeypatch):
    """The shop's settings, and a secret key."""
    monkeypatch.setenv("TWITE_SECRET_KEY", KEY)
    return shop


def changed(folder, change):
    """Return the export with one change."""
    tree = json.loads(SHOP.read_text())
    change(tree["containerVersion"])
    path = folder / "changed.json"
    path.write_text(json.dumps(tree))
    return str(path)


async def sealed_in_the_store(shop):
    store = await SQLiteStore.open(str(shop.parent / "twite.db"))
    try:
        return await sealed_secrets(SecretStore(state=store, seal=AesSeal(Secret(KEY))))
    finally:
        await store.close()


def test_import_report_has_a_line_with_a_reason_for_every_part(command, tmp_path):
    out = tmp_path / "out"

    code, said, err = command("import", str(SHOP), "--out", str(out), "--secrets", "env")

    assert (code, err) == (1, "")
    assert said.replace(str(out), "OUT") == (CONTAINERS / "shop.txt").read_text()


def test_report_only_needs_no_settings_and_writes_no_files(command, tmp_path):
    out = tmp_path / "out"

    code, said, err = command(
        *("import", str(SHOP), "--out", str(out), "--report"),
        *("--config", str(tmp_path / "none.toml")),
    )

    lines = (CONTAINERS / "shop.txt").read_text().splitlines()
    assert (code, err) == (1, "")
    assert said.splitlines()[:20] == lines[:20]
    assert "Nothing was written" in said
    assert not out.exists()
    for secret in SECRETS:
        assert secret not in said


def test_secrets_of_an_export_are_only_in_the_store_and_sealed(command, keyed, tmp_path):
    out = tmp_path / "out"

    _, said, err = command("import", str(SHOP), "--out", str(out), "--config", str(keyed))

    written = "".join(path.read_text() for path in out.rglob("*") if path.is_file())
    held = b"".join(path.read_bytes() for path in keyed.parent.glob("twite.db*"))
    assert sorted(asyncio.run(sealed_in_the_store(keyed)).values()) == sorted(
        (*SECRETS[:2], f"Bearer {SECRETS[2]}")
    )
    assert [
        secret for secret in SECRETS if secret in said + err + written or secret.encode() in held
    ] == []


def test_imported_container_runs_with_its_secrets(command, keyed, tmp_path):
    command("import", str(SHOP), "--out", str(tmp_path), "--config", str(keyed))
    file = tmp_path / "container.toml"

    container = load_container(file)
    whole = with_secrets(
        container, path=file, environ={}, sealed=asyncio.run(sealed_in_the_store(keyed))
    )

    assert {variable.name: variable.value for variable in whole.variables}["X access"] == SECRETS[0]
    assert whole.tags[1].fields["accessToken"] == SECRETS[1]


def test_import_of_secrets_without_a_key_writes_nothing_and_explains_why(command, shop, tmp_path):
    out = tmp_path / "out"

    code, said, err = command("import", str(SHOP), "--out", str(out), "--config", str(shop))

    assert (code, said, out.exists()) == (1, "", False)
    assert "openssl rand -base64 32" in err
    assert "--secrets env" in err


def test_export_without_secrets_needs_no_key_and_no_settings(command, tmp_path):
    def only_folders(version):
        version.update(tag=[], variable=[], trigger=[], transformation=[])
        version.update(client=[], customTemplate=[], builtInVariable=[], zone=[])

    export = changed(tmp_path, only_folders)

    assert command("import", export, "--out", str(tmp_path / "out"))[0] == 0


def test_repeated_import_changes_nothing(command, tmp_path):
    out = tmp_path / "out"
    arguments = ("import", str(SHOP), "--out", str(out), "--secrets", "env")
    command(*arguments)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    _, said, _ = command(*arguments)

    assert "Nothing changed since the last import." in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_import_of_a_newer_export_lists_the_changes(command, tmp_path):
    def change(version):
        version["tag"][0]["paused"] = True
        version["trigger"][0]["name"] = "Bought"
        del version["tag"][4]

    out = tmp_path / "out"
    command("import", str(SHOP), "--out", str(out), "--secrets", "env")

    _, said, _ = command(
        "import", changed(tmp_path, change), "--out", str(out), "--secrets", "env", "--json"
    )

    found = {(load["kind"], load["name"]): load["what"] for load in json.loads(said)["changes"]}
    assert found["tag", "X purchase"] == "changed"
    assert found["tag", "Large orders twice"] == "removed"
    assert found["trigger", "Bought"] == "added"
    assert found["trigger", "Purchase"] == "removed"


@pytest.mark.parametrize("name", ["container.toml", "templates/callbacks.tpl"])
def test_manual_changes_are_overwritten_only_with_the_option(command, tmp_path, name):
    arguments = ("import", str(SHOP), "--out", str(tmp_path), "--secrets", "env")
    command(*arguments)
    mine = tmp_path / name
    mine.write_text(mine.read_text() + "\n# mine\n")

    code, _, err = command(*arguments)
    kept = mine.read_text()
    command(*arguments, "--overwrite")

    assert (code, kept.endswith("# mine\n")) == (1, True)
    assert "--overwrite" in err
    assert "# mine" not in mine.read_text()


def test_import_with_allow_left_out_exits_0(command, tmp_path):
    arguments = ("import", str(SHOP), "--out", str(tmp_path), "--secrets", "env")

    assert command(*arguments, "--allow-left-out")[0] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not JSON"), ("{}", "is not a container export"), (None, "cannot be read")],
)
def test_invalid_export_is_refused_and_nothing_is_written(command, tmp_path, content, said):
    export = tmp_path / "export.json"
    if content is not None:
        export.write_text(content)

    code, out, err = command("import", str(export), "--out", str(tmp_path / "out"))

    assert (code, out, (tmp_path / "out").exists()) == (1, "", False)
    assert err.startswith(f"Error: {export}: ")
    assert said in err


def test_names_in_an_export_are_escaped_in_the_terminal(command, tmp_path):
    def change(version):
        version["tag"][0]["name"] = "\x1b[31m\u202eX\n[[tag]]"

    out = tmp_path / "out"

    _, said, _ = command("import", changed(tmp_path, change), "--out", str(out), "--secrets", "env")

    assert not {"\x1b", "\u202e"} & set(said)
    assert load_container(out / "container.toml").tags[0].name == "\x1b[31m\u202eX\n[[tag]]"


HIDDEN = "px_9Kd3Vb7Xq2Lm5Tz8Rw4Nc6Jh"


def secret_in_a_trigger(version):
    right = version["trigger"][0]["customEventFilter"][0]["parameter"][1]
    right["value"] = HIDDEN


def test_secret_left_in_plain_text_is_reported_and_exits_1(command, tmp_path):
    export = changed(tmp_path, secret_in_a_trigger)
    arguments = ("import", export, "--out", str(tmp_path), "--secrets", "env", "--allow-left-out")

    code, said, _ = command(*arguments)
    allowed, _, _ = command(*arguments, "--allow-plain-text")

    assert (code, allowed) == (1, 0)
    assert "in plain text trigger “Purchase” when.0.right\n    looks like a secret" in said
    assert "1 secret in plain text" in said
    assert HIDDEN not in said


def test_import_json_lists_secrets_in_plain_text_and_deleted_secrets(command, tmp_path):
    export = changed(tmp_path, secret_in_a_trigger)

    _, said, _ = command("import", export, "--out", str(tmp_path), "--secrets", "env", "--json")

    (place,) = json.loads(said)["in_plain_text"]
    assert (place["kind"], place["name"], place["path"]) == ("trigger", "Purchase", "when.0.right")
    assert json.loads(said)["forgotten"] == []


def without_the_warehouse(version):
    version["tag"] = [tag for tag in version["tag"] if tag["name"] != "To the warehouse"]


def test_secret_that_a_new_import_lacks_is_deleted(command, keyed, tmp_path):
    out = ("--out", str(tmp_path / "out"), "--config", str(keyed))
    command("import", str(SHOP), *out)

    _, said, _ = command("import", changed(tmp_path, without_the_warehouse), *out)

    assert sorted(asyncio.run(sealed_in_the_store(keyed)).values()) == sorted(SECRETS[:2])
    assert "deleted: container/tag/To-the-warehouse/headers-0-value-" in said


def test_import_is_audited_if_it_changes_secrets(command, keyed, tmp_path):
    config = ("--config", str(keyed))
    out = ("--out", str(tmp_path / "out"), *config)
    command("import", str(SHOP), *out)
    command("import", changed(tmp_path, without_the_warehouse), *out)
    command("import", str(SHOP), "--out", str(tmp_path / "env"), "--secrets", "env", *config)

    _, said, _ = command("audit", "list", "--json", *config)

    entries = json.loads(said)[::-1]
    assert [(entry["what"], entry["subject"], entry["detail"]) for entry in entries] == [
        ("container.keep_secrets", "GTM-TEST123", "3 secrets"),
        ("container.keep_secrets", "GTM-TEST123", "2 secrets"),
        ("container.forget_secrets", "GTM-TEST123", "1 secret"),
    ]
    assert {entry["who"] for entry in entries} == {f"{getpass.getuser()} (command)"}
    assert not any(secret in said for secret in SECRETS)
    assert command("audit", "verify", *config)[0] == 0


def test_secrets_moved_to_the_environment_are_deleted_from_the_store(command, keyed, tmp_path):
    out = ("--out", str(tmp_path / "out"), "--config", str(keyed))
    command("import", str(SHOP), *out)

    command("import", str(SHOP), *out, "--secrets", "env")

    assert asyncio.run(sealed_in_the_store(keyed)) == {}


def test_containers_in_different_folders_have_separate_secrets(command, keyed, tmp_path):
    running, tried = (("--out", str(tmp_path / name)) for name in ("running", "tried"))
    config = ("--config", str(keyed))
    command("import", str(SHOP), *running, *config)
    before = asyncio.run(sealed_in_the_store(keyed))
    other = tmp_path / "other.json"
    other.write_text(SHOP.read_text().replace("px_", "px_other_").replace("wh_", "wh_other_"))

    command("import", str(other), *tried, *config)
    beside = asyncio.run(sealed_in_the_store(keyed))
    command("import", changed(tmp_path, without_the_warehouse), *tried, *config)
    after = asyncio.run(sealed_in_the_store(keyed))

    assert len(before) == len(SECRETS)
    assert (len(beside), before.items() <= beside.items()) == (2 * len(SECRETS), True)
    assert (len(after), before.items() <= after.items()) == (2 * len(SECRETS) - 1, True)


def test_secrets_of_the_running_container_are_not_deleted(command, keyed, tmp_path):
    running, tried = tmp_path / "running", tmp_path / "tried"
    keyed.write_text(keyed.read_text() + f'[container]\nfile = "{running}/container.toml"\n')
    command("import", str(SHOP), "--out", str(running), "--config", str(keyed))
    shutil.copytree(running, tried)

    command("import", str(SHOP), "--out", str(tried), "--config", str(keyed))

    assert len(asyncio.run(sealed_in_the_store(keyed))) == 2 * len(SECRETS)


def test_import_says_that_only_the_owner_can_read_its_files(command, tmp_path):
    _, said, _ = command("import", str(SHOP), "--out", str(tmp_path / "out"), "--secrets", "env")

    assert "Only you can read the file and its templates (mode 0600)" in said


@pytest.mark.parametrize("name", ["X sign-up.eventId", "Pixel", "Authorization", "pixelId"])
def test_value_named_by_the_secret_option_is_stored_as_a_secret(command, tmp_path, name):
    arguments = ("import", str(SHOP), "--out", str(tmp_path), "--secrets", "env", "--secret", name)

    assert command(*arguments, "--allow-left-out")[0] == 0


def test_misspelled_name_in_the_secret_option_is_refused(command, tmp_path):
    arguments = ("import", str(SHOP), "--out", str(tmp_path / "out"), "--secrets", "env")

    code, _, err = command(*arguments, "--secret", "X signup.eventId")

    assert (code, (tmp_path / "out").exists()) == (1, False)
    assert "--secret X signup.eventId" in err


def test_variables_that_read_personal_data_are_reported(command, tmp_path):
    def change(version):
        currency = next(
            variable for variable in version["variable"] if variable["name"] == "Currency"
        )
        path = next(
            parameter for parameter in currency["parameter"] if parameter["key"] == "keyPath"
        )
        path["value"] = "user_data.customer_name"

    arguments = ("import", changed(tmp_path, change), "--report")
    _, said, _ = command(*arguments)
    _, reported, _ = command(*arguments, "--json")

    assert "person variable “Currency” user_data.customer_name" in said
    assert json.loads(reported)["persons"] == [
        {"variable": "Currency", "key": "user_data.customer_name"}
    ]
