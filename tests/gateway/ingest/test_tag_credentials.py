"""Credentials that tags send: which pixel uses them, and how they are stored."""

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from builders import a_destination, a_source, a_submission, an_entry
from fakes import MovingClock
from memory_store.state import MemoryState
from memory_store.store import MemoryStore
from twite.domain.destination import Destination, OAuthKeys
from twite.domain.errors import LedgerUnavailable, NotOpened
from twite.domain.secret import Secret
from twite.domain.stats.backlog import BacklogHour
from twite.gateway.ingest.stape_proxy import (
    LOOK,
    PASSING,
    STORED,
    TagCredentials,
    TooManyPixels,
)
from twite.gateway.ports.events import GatewayEvent, ProblemSeen
from twite.gateway.ports.secret_store import SecretStore
from twite.gateway.ports.state import SealedSecret
from twite.machine.seal import AesSeal

KEY = Secret("a-key-that-nobody-will-guess")
AGENCY = replace(a_source("agency"), stape_credentials=STORED)
OTHER = replace(a_source("other"), stape_credentials=STORED)
PASSER = replace(a_source("agency"), stape_credentials=PASSING)


def keys(name="one") -> OAuthKeys:
    return OAuthKeys(
        consumer_key=f"consumer-{name}",
        consumer_secret=Secret(f"consumer-secret-{name}"),
        token=f"token-{name}",
        token_secret=Secret(f"token-secret-{name}"),
    )


class FakeSender:
    """Records the destinations."""

    def __init__(self):
        self.to: list[Destination] = []
        self.left: list[str] = []

    def send_to(self, destination: Destination) -> None:
        self.to.append(destination)

    def leave(self, pixel: str) -> None:
        self.left.append(pixel)


class FailingStore(MemoryStore):
    """Fails the given number of reads."""

    failures = 0

    async def backlog(self) -> Sequence[BacklogHour]:
        if self.failures:
            self.failures -= 1
            raise LedgerUnavailable(reason="the disk is full", retry_after=1)
        return await super().backlog()


class TagCredentialStage:
    def __init__(self, state=None, *, key=KEY, former=()):
        self.clock = MovingClock()
        self.store = FailingStore()
        self.sender = FakeSender()
        self.notices: list[GatewayEvent] = []
        self.state = state or MemoryState()
        self.destinations = {"o8z6j": a_destination()}
        self.sent_to = self.sender.to
        self.tag_credentials = TagCredentials(
            secret_store=SecretStore(state=self.state, seal=AesSeal(key, former)),
            destinations=self.destinations,
            rate=100,
            sends=self.sender,
            queries=self.store,
            clock=self.clock,
            observer=self,
            most=3,
        )

    def see(self, notice: GatewayEvent) -> None:
        self.notices.append(notice)

    async def bring(self, pixel, *, source=AGENCY, brought=None):
        return await self.tag_credentials.destination(pixel, source=source, keys=brought)


async def test_sent_credentials_of_a_pixel_outside_the_settings_are_used():
    stage = TagCredentialStage()

    found = await stage.bring("p9", brought=keys())

    assert found == Destination(pixel="p9", credentials=keys(), events={}, rate=100)
    assert stage.sent_to == [found]
    assert stage.destinations["p9"] == found


async def test_stored_credentials_are_unreadable_without_the_secret_key():
    stage = TagCredentialStage()

    await stage.bring("p9", brought=keys())

    (secret,) = await stage.state.load(SealedSecret)
    name, sealed = secret.name, secret.sealed
    assert name == "stape/p9"
    for part in (b"consumer-one", b"consumer-secret-one", b"token-one", b"agency"):
        assert part not in sealed


async def test_accepted_credentials_need_not_be_sent_again():
    stage = TagCredentialStage()
    taken = await stage.bring("p9", brought=keys())

    assert await stage.bring("p9") == taken
    assert await stage.bring("p9", brought=keys()) == taken
    assert stage.sent_to == [taken]


async def test_source_can_change_its_stored_credentials():
    stage = TagCredentialStage()
    await stage.bring("p9", brought=keys())

    changed = await stage.bring("p9", brought=keys("two"))

    assert changed is not None
    assert changed.credentials == keys("two")
    assert stage.sent_to[-1] == changed


@pytest.mark.parametrize("brought", [None, keys(), keys("two")])
async def test_another_source_can_neither_use_nor_change_stored_credentials(brought):
    stage = TagCredentialStage()
    await stage.bring("p9", brought=keys())

    assert await stage.bring("p9", source=OTHER, brought=brought) is None
    assert stage.destinations["p9"].credentials == keys()


async def test_pixel_of_the_settings_keeps_its_credentials():
    stage = TagCredentialStage()

    found = await stage.bring("o8z6j", brought=keys())

    assert found == a_destination()
    assert list(await stage.state.load(SealedSecret)) == []


async def test_pixel_of_another_source_in_the_settings_is_refused():
    stage = TagCredentialStage()

    assert await stage.bring("o8z6j", source=a_source("x", pixel="p2"), brought=keys()) is None


async def test_unknown_pixel_without_credentials_is_refused():
    assert await TagCredentialStage().bring("p9") is None


async def test_stored_credentials_are_used_after_a_restart():
    before = TagCredentialStage()
    await before.bring("p9", brought=keys())

    after = TagCredentialStage(before.state)
    await after.tag_credentials.load()

    assert [destination.credentials for destination in after.sent_to] == [keys()]
    assert await after.bring("p9", source=OTHER) is None
    assert await after.bring("p9") is not None


async def test_credentials_are_sealed_again_with_a_new_secret_key():
    before = TagCredentialStage()
    await before.bring("p9", brought=keys())
    new = Secret("a-new-key-that-nobody-will-guess")

    await TagCredentialStage(before.state, key=new, former=(KEY,)).tag_credentials.load()

    alone = TagCredentialStage(before.state, key=new)
    await alone.tag_credentials.load()
    assert [destination.credentials for destination in alone.sent_to] == [keys()]


async def test_credentials_sealed_with_a_missing_key_are_an_error():
    before = TagCredentialStage()
    await before.bring("p9", brought=keys())

    with pytest.raises(NotOpened):
        await TagCredentialStage(
            before.state, key=Secret("a-new-key-that-nobody-will-guess")
        ).tag_credentials.load()


async def test_credentials_of_a_pixel_added_to_the_settings_are_deleted():
    before = TagCredentialStage()
    await before.bring("p9", brought=keys())
    after = TagCredentialStage(before.state)
    after.destinations["p9"] = a_destination("p9")

    await after.tag_credentials.load()

    assert (after.sent_to, list(await before.state.load(SealedSecret))) == ([], [])


async def test_credentials_that_cannot_be_stored_are_not_used():
    class Full(MemoryState):
        async def put(self, records: object, **more: object) -> None:
            del records, more
            raise LedgerUnavailable(reason="the disk is full", retry_after=1)

    stage = TagCredentialStage(Full())
    with pytest.raises(LedgerUnavailable):
        await stage.bring("p9", brought=keys())

    assert (stage.sent_to, "p9" in stage.destinations) == ([], False)
    assert await stage.bring("p9", source=OTHER) is None


async def test_number_of_pixels_with_stored_credentials_is_limited():
    stage = TagCredentialStage()
    for number in range(3):
        await stage.bring(f"p{number}", brought=keys())

    with pytest.raises(TooManyPixels):
        await stage.bring("another", brought=keys())


@pytest.mark.parametrize("pixel", ["", "../accounts", "P9", "p9?x=1", "p" * 33, "p\n9", "\u0661"])
async def test_invalid_pixel_id_never_becomes_part_of_a_url(pixel):
    stage = TagCredentialStage()

    assert await stage.bring(pixel, brought=keys()) is None
    assert (stage.sent_to, list(await stage.state.load(SealedSecret))) == ([], [])


async def test_passing_credentials_are_deleted_when_all_is_sent():
    stage = TagCredentialStage()
    await stage.bring("p9", source=PASSER, brought=keys())
    await stage.clock.advance(LOOK + 1)

    await stage.tag_credentials.forget_settled()

    assert list(await stage.state.load(SealedSecret)) == []
    assert (stage.sender.left, "p9" in stage.destinations) == (["p9"], False)
    assert await stage.bring("p9", source=PASSER) is None


async def test_passing_credentials_stay_while_a_conversion_is_pending():
    stage = TagCredentialStage()
    await stage.bring("p9", source=PASSER, brought=keys())
    await stage.store.record(a_submission(an_entry("order-1", pixel="p9")))
    await stage.clock.advance(LOOK + 1)

    await stage.tag_credentials.forget_settled()

    assert [secret.name for secret in await stage.state.load(SealedSecret)] == ["stape/p9"]
    assert stage.sender.left == []


async def test_passing_credentials_used_recently_stay():
    stage = TagCredentialStage()
    await stage.bring("p9", source=PASSER, brought=keys())
    await stage.clock.advance(LOOK + 1)
    await stage.bring("p9", source=PASSER, brought=keys())

    await stage.tag_credentials.forget_settled()

    assert stage.sender.left == []


async def test_conversion_without_credentials_cannot_use_passing_ones():
    stage = TagCredentialStage()
    await stage.bring("p9", source=PASSER, brought=keys())

    assert await stage.bring("p9", source=PASSER) is None


async def test_passing_credentials_are_kept_over_a_restart_until_their_conversion_is_sent():
    before = TagCredentialStage()
    await before.bring("p9", source=PASSER, brought=keys())
    after = TagCredentialStage(before.state)

    await after.tag_credentials.load()
    await after.clock.advance(LOOK + 1)
    await after.tag_credentials.forget_settled()

    assert [destination.credentials for destination in after.sent_to] == [keys()]
    assert list(await before.state.load(SealedSecret)) == []


async def test_passing_credentials_become_stored_if_the_source_says_so():
    stage = TagCredentialStage()
    await stage.bring("p9", source=PASSER, brought=keys())

    await stage.bring("p9", source=AGENCY, brought=keys())
    await stage.clock.advance(LOOK + 1)
    await stage.tag_credentials.forget_settled()

    assert stage.sender.left == []


async def test_stored_credentials_are_never_deleted():
    stage = TagCredentialStage()
    await stage.bring("p9", brought=keys())
    await stage.clock.advance(LOOK + 1)

    await stage.tag_credentials.forget_settled()

    assert stage.sender.left == []


async def test_passing_credentials_are_checked_again_after_errors():
    stage = TagCredentialStage()
    await stage.bring("p9", source=PASSER, brought=keys())
    stage.store.failures = 1
    looking = asyncio.create_task(stage.tag_credentials.run())
    for _ in range(3):
        await asyncio.sleep(0)
        await stage.clock.advance(LOOK + 1)
    looking.cancel()

    assert (stage.notices, stage.sender.left) == (
        [ProblemSeen(where="tag credentials", reason="the disk is full")],
        ["p9"],
    )


async def test_credentials_of_another_gateway_are_used_and_kept():
    stage = TagCredentialStage()
    other = TagCredentialStage(stage.state)
    await stage.bring("p9", brought=keys())
    await other.tag_credentials.load()
    await stage.bring("p9", brought=keys("two"))

    for _ in range(2):
        await other.tag_credentials.load()

    assert [sent.credentials for sent in other.sent_to] == [keys(), keys("two")]
    assert len(await stage.state.load(SealedSecret)) == 1


async def test_reload_keeps_stored_credentials_and_prefers_those_of_the_settings():
    stage = TagCredentialStage()
    await stage.bring("p8", brought=keys("eight"))
    await stage.bring("p9", brought=keys("nine"))
    written = {"o8z6j": a_destination(), "p9": a_destination("p9")}

    after = stage.tag_credentials.stored(written) | written
    stage.tag_credentials.replace(after)
    await stage.tag_credentials.load()
    by_tag = await stage.bring("p9", brought=keys("ten"))

    assert after["p8"].credentials == keys("eight")
    assert after["p9"] == a_destination("p9")
    assert by_tag is None  # the source may not use a pixel of the settings that it does not name
    assert [secret.name for secret in await stage.state.load(SealedSecret)] == ["stape/p8"]
