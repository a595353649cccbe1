"""Rotation of the secret key loses no sealed value, even if it is interrupted."""

import pytest

from twite.app.sealing import rotate
from twite.config.settings import load
from twite.domain.destination import PixelToken
from twite.domain.errors import NotOpened, SettingsError
from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.x_account.credential_store import CredentialStore
from twite.machine.seal import AesSeal
from twite.stores.sqlite import SQLiteStore
from written import ENVIRONMENT, GOOD, read, write

FIRST, SECOND = "the-first-key-that-seals", "the-second-key-that-seals"
TOKEN = PixelToken(token=Secret("emulator-pixel-token-o8z6j"))
IN_A_FILE = GOOD.replace("[server]", '[server]\nsecret_key = "file:twite.secret"')


async def stored(settings, *keys: str) -> PixelToken | None:
    """Return the token as opened with these keys. With only one key, nothing is sealed again."""
    store = await SQLiteStore.open(str(settings.store.path))
    try:
        seal = AesSeal(Secret(keys[0]), [Secret(key) for key in keys[1:]])
        logins = CredentialStore(SecretStore(state=store, seal=seal))
        found = (await logins.all()).get("o8z6j")
        return None if found is None else found.pixel_token
    finally:
        await store.close()


async def seal_with(settings, key: str) -> None:
    store = await SQLiteStore.open(str(settings.store.path))
    try:
        room = SecretStore(state=store, seal=AesSeal(Secret(key)))
        await CredentialStore(room).keep_pixel_token("o8z6j", TOKEN)
    finally:
        await store.close()


async def settings_with_credentials(folder):
    (folder / "twite.secret").write_text(f"{FIRST}\n")
    settings = read(folder, IN_A_FILE)
    await seal_with(settings, FIRST)
    return settings


async def test_after_a_rotation_the_new_key_opens_all_sealed_values(tmp_path):
    settings = await settings_with_credentials(tmp_path)

    done = await rotate(settings, ENVIRONMENT, by="ada (command)")

    new = (tmp_path / "twite.secret").read_text().strip()
    assert (done.secrets, done.file) == (1, tmp_path / "twite.secret")
    assert await stored(settings, new) == TOKEN
    assert not (tmp_path / "twite.secret.former").exists()
    with pytest.raises(NotOpened):
        await stored(settings, FIRST)


async def test_key_files_are_readable_only_by_their_owner(tmp_path):
    settings = await settings_with_credentials(tmp_path)

    await rotate(settings, ENVIRONMENT, by="ada (command)")

    assert (tmp_path / "twite.secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("key", "former"), [(FIRST, FIRST), (SECOND, FIRST)], ids=["before", "after"]
)
async def test_interrupted_rotation_continues_when_run_again(tmp_path, key, former):
    await settings_with_credentials(tmp_path)
    (tmp_path / "twite.secret").write_text(key)
    (tmp_path / "twite.secret.former").write_text(former)
    settings = load(tmp_path / "twite.toml", ENVIRONMENT)

    await rotate(settings, ENVIRONMENT, by="ada (command)")

    new = (tmp_path / "twite.secret").read_text().strip()
    assert new not in {FIRST, SECOND}
    assert await stored(settings, new) == TOKEN


async def test_key_in_the_environment_is_not_rotated_by_the_command(tmp_path):
    settings = read(tmp_path, GOOD, {"TWITE_SECRET_KEY": FIRST})

    with pytest.raises(SettingsError, match="no command can change it"):
        await rotate(settings, ENVIRONMENT, by="ada (command)")


async def test_option_for_the_old_key_seals_everything_with_the_new_key(tmp_path):
    text = GOOD.replace("[server]", f'[server]\nformer_secret_keys = ["{FIRST}"]')
    settings = read(tmp_path, text, {"TWITE_SECRET_KEY": SECOND})
    await seal_with(settings, FIRST)

    done = await rotate(settings, ENVIRONMENT, by="ada (command)")

    assert (done.secrets, done.file) == (1, None)
    assert await stored(settings, SECOND) == TOKEN


async def test_rotation_with_a_key_that_opens_nothing_keeps_both_keys(tmp_path):
    await settings_with_credentials(tmp_path)
    (tmp_path / "twite.secret").write_text(SECOND)
    settings = load(write(tmp_path, IN_A_FILE), ENVIRONMENT)

    with pytest.raises(NotOpened):
        await rotate(settings, ENVIRONMENT, by="ada (command)")

    assert (tmp_path / "twite.secret.former").read_text().strip() == SECOND
    assert await stored(settings, FIRST) == TOKEN


async def test_rotation_without_a_secret_key_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="no encrypted secrets to rotate"):
        await rotate(read(tmp_path), ENVIRONMENT, by="ada (command)")
