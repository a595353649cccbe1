"""Stored credentials: in the vault, and in use."""

import pytest
from msgspec.structs import replace

from twite.domain.destination import NotSignedIn, PixelToken
from twite.domain.errors import NotOpened
from twite.domain.secret import Secret
from twite.gateway.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.logins import LoginDesk, Logins
from twite.gateway.vault import Strongroom, TurnedSeal
from twite.machine.seal import AesSeal
from twite.testing.builders import a_destination, a_destination_with_oauth
from twite.testing.memory_vault import MemoryVault

FIRST, SECOND = Secret("the-first-key-that-seals"), Secret("the-second-key-that-seals")
KEYS = a_destination_with_oauth().credentials
TOKEN = PixelToken(token=Secret("emulator-pixel-token-o8z6j"))
UNSIGNED = replace(a_destination(), credentials=NotSignedIn())


class House:
    def __init__(self, vault=None, *, key=FIRST):
        self.vault = vault or MemoryVault()
        self.seal = TurnedSeal(AesSeal(key))
        self.next_key = AesSeal(SECOND, [FIRST])
        self.destinations = {"o8z6j": UNSIGNED}
        self.sent_to = []
        self.desk = LoginDesk(
            strongroom=Strongroom(vault=self.vault, seal=self.seal),
            seal=self.seal,
            key=lambda: self.next_key,
            written=[UNSIGNED],
            destinations=self.destinations,
            sends=self,
        )

    def send_to(self, destination) -> None:
        self.sent_to.append(destination)


async def test_what_is_kept_is_in_use_before_the_answer():
    house = House()

    await house.desk.keep_oauth("o8z6j", KEYS, screen_name="example_ads")

    assert house.destinations["o8z6j"].credentials == KEYS
    assert [one.credentials for one in house.sent_to] == [KEYS]


async def test_what_a_command_sealed_is_opened_and_used():
    house = House()
    sealed = AesSeal(FIRST).close("login/o8z6j/pixel_token", TOKEN.token.reveal().encode())

    await house.desk.keep("login/o8z6j/pixel_token", sealed)

    assert house.destinations["o8z6j"].credentials == TOKEN


async def test_what_was_sealed_under_another_name_is_not_kept():
    house = House()
    sealed = AesSeal(FIRST).close("login/o8z7a/pixel_token", b"a-token")

    with pytest.raises(NotOpened):
        await house.desk.keep("login/o8z6j/pixel_token", sealed)

    assert house.destinations["o8z6j"] == UNSIGNED


async def test_what_is_forgotten_is_no_longer_used():
    house = House()
    await house.desk.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    await house.desk.forget("o8z6j", PIXEL_TOKEN)
    one_left = house.destinations["o8z6j"]
    await house.desk.forget("o8z6j", OAUTH)

    assert (one_left.credentials, one_left.fallback) == (KEYS, None)
    assert house.destinations["o8z6j"] == UNSIGNED


async def test_what_is_the_same_disturbs_no_sender():
    house = House()
    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    assert len(house.sent_to) == 1


async def test_after_a_rotation_the_new_key_alone_opens_everything():
    house = House()
    await house.desk.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    assert await house.desk.reseal() == 2

    logins = Logins(Strongroom(vault=house.vault, seal=AesSeal(SECOND)))
    assert (await logins.all())["o8z6j"].oauth == KEYS


async def test_a_login_does_not_print_its_secrets():
    house = House()
    await house.desk.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    shown = repr(await house.desk.all())

    assert KEYS.consumer_secret.reveal() not in shown
    assert KEYS.token_secret.reveal() not in shown
    assert TOKEN.token.reveal() not in shown
