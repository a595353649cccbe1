"""Stored credentials: sealed in the store, and in use."""

import pytest
from msgspec.structs import replace

from builders import (
    NOW,
    a_destination,
    a_destination_with_oauth,
    a_submission,
    an_entry,
)
from memory_store.store import MemoryStore
from store_contract.actions import claim
from twite.app.logins import FollowSecrets
from twite.domain.destination import MissingCredentials, PixelToken
from twite.domain.errors import NotOpened, SettingsError
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret
from twite.gateway.delivery.credentials import OAUTH, PIXEL_TOKEN
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.gateway.tags.run.payload import TagPayload, read, written
from twite.gateway.x_account.credential_store import CredentialCommands, CredentialStore
from twite.machine.seal import AesSeal

FIRST, SECOND = Secret("the-first-key-that-seals"), Secret("the-second-key-that-seals")
KEYS = a_destination_with_oauth().credentials
TOKEN = PixelToken(token=Secret("emulator-pixel-token-o8z6j"))
UNSIGNED = replace(a_destination(), credentials=MissingCredentials())


DEED = AuditEvent(at=NOW, who="ada (command)", what="connect.done", subject="o8z6j")
TAG = "tag:crm"


class Leaving:
    """A store whose secrets are deleted by another process after each read."""

    def __init__(self, store):
        self._store = store
        self.put = store.put

    async def load(self, kind, *, prefix=""):
        found = await self._store.load(kind, prefix=prefix)
        await self._store.delete(kind, *(secret.name for secret in found))
        return found


class House:
    def __init__(self, *, key=FIRST):
        self.store = MemoryStore()
        self.seal = AesSeal(key)
        self.next_key = AesSeal(SECOND, [FIRST])
        self.destinations = {"o8z6j": UNSIGNED}
        self.sent_to = []
        self.desk = CredentialCommands(
            secret_store=SecretStore(state=self.store, seal=self.seal),
            seal=self.seal,
            key=self.key,
            written=[UNSIGNED],
            destinations=self.destinations,
            send_to=self.send_to,
            outbox=self.store,
            passed=self.passed,
            note=self.store.people.note,
        )
        self.late = []  # being written to disk

    def key(self):
        if self.next_key is None:
            raise SettingsError(place="server.secret_key", message="is missing")
        return self.next_key

    def send_to(self, destination) -> None:
        self.sent_to.append(destination)

    async def passed(self) -> None:
        for entry in self.late:
            await self.store.record(a_submission(entry, receipt=entry.conversion_id))

    async def audit_events(self):
        return [entry.audit_event for entry in await self.store.people.audit(after=0, limit=9)]


def a_letter(number, seal):
    body = written(TagPayload(pixel="o8z6j", at=NOW, event={"number": number}), name=TAG, seal=seal)
    return replace(an_entry(f"order-{number}", pixel=TAG, event="purchase"), body=body)


async def test_what_is_kept_is_in_use_before_the_answer():
    house = House()

    await house.desk.keep_oauth("o8z6j", KEYS, screen_name="example_ads")

    assert house.destinations["o8z6j"].credentials == KEYS
    assert [destination.credentials for destination in house.sent_to] == [KEYS]


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

    logins = CredentialStore(SecretStore(state=house.store, seal=AesSeal(SECOND)))
    assert (await logins.all())["o8z6j"].oauth == KEYS


async def test_what_waits_for_a_tag_needs_the_former_key_no_more_and_nor_does_what_was_on_its_way():
    house = House()
    await house.store.record(a_submission(a_letter(1, house.seal), receipt="r1"))
    house.late = [a_letter(2, AesSeal(FIRST))]

    await house.desk.reseal()
    some = await house.desk.reseal_payloads(after=0)

    batch = await claim(house.store, pixel=TAG)
    opened = [read(delivery.body, name=TAG, seal=AesSeal(SECOND)) for delivery in batch.deliveries]
    assert (some.payloads, some.last) == (2, None)
    assert [letter.event["number"] for letter in opened] == [1, 2]


async def test_a_rotation_is_in_the_audit_and_one_without_a_key_is_not():
    house = House()

    await house.desk.reseal(audit_event=DEED)
    house.next_key = None
    with pytest.raises(SettingsError):
        await house.desk.reseal(audit_event=DEED)

    assert await house.audit_events() == [DEED]


async def test_what_a_command_does_is_in_the_audit():
    house = House()
    sealed = AesSeal(FIRST).close("login/o8z6j/pixel_token", TOKEN.token.reveal().encode())
    forget = replace(DEED, what="connect.forget")

    await house.desk.keep("login/o8z6j/pixel_token", sealed, audit_event=DEED)
    await house.desk.forget_sealed("login/o8z6j/pixel_token", audit_event=forget)

    assert await house.audit_events() == [DEED, forget]


async def test_what_is_forgotten_while_all_is_sealed_anew_does_not_come_back():
    house = House()
    await house.desk.keep_pixel_token("o8z6j", TOKEN)
    away = Leaving(house.store)
    room = SecretStore(state=away, seal=house.next_key)

    await room.all("")

    assert list(await house.store.load(SealedSecret)) == []


async def test_a_login_does_not_print_its_secrets():
    house = House()
    await house.desk.keep_oauth("o8z6j", KEYS, screen_name="example_ads")
    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    shown = repr(await house.desk.all())

    assert KEYS.consumer_secret.reveal() not in shown
    assert KEYS.token_secret.reveal() not in shown
    assert TOKEN.token.reveal() not in shown


def another_gateway(house, *, key=FIRST):
    other = House(key=key)
    secret_store = SecretStore(state=house.store, seal=other.seal)
    other.desk = CredentialCommands(
        secret_store=secret_store,
        seal=other.seal,
        key=other.key,
        written=[UNSIGNED],
        destinations=other.destinations,
        send_to=other.send_to,
        outbox=house.store,
        passed=other.passed,
        note=house.store.people.note,
    )
    return other


async def test_another_gateway_uses_what_one_was_given_and_no_more_what_one_forgot():
    house = House()
    other = another_gateway(house)

    await house.desk.keep_pixel_token("o8z6j", TOKEN)
    await other.desk.follow()
    used = other.destinations["o8z6j"].credentials
    await house.desk.forget("o8z6j", PIXEL_TOKEN)
    await other.desk.follow()

    assert (used, other.destinations["o8z6j"]) == (TOKEN, UNSIGNED)


async def test_a_gateway_reads_its_settings_again_when_another_has_rotated_the_key():
    house = House(key=SECOND)
    other = another_gateway(house)
    await house.desk.keep_pixel_token("o8z6j", TOKEN)

    await other.desk.follow()

    assert other.destinations["o8z6j"].credentials == TOKEN


async def test_a_gateway_without_the_rotated_key_says_so():
    house = House(key=SECOND)
    other = another_gateway(house)
    other.next_key = AesSeal(FIRST)
    await house.desk.keep_pixel_token("o8z6j", TOKEN)
    seen = []

    class Sees:
        def see(self, notice):
            seen.append(notice)

    await FollowSecrets(other.desk, None, Sees())()

    assert [notice.where for notice in seen] == ["vault"]
    assert "server.former_secret_keys" in seen[0].reason
