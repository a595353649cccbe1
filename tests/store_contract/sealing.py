"""Store contract: sealed secrets, by name."""

from typing import Final

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import claim, dead_lettered, delivered, postponed, record, settle
from twite.domain.errors import NotOpened
from twite.domain.people.users import AuditEvent
from twite.domain.submission import AcceptedConversion
from twite.gateway.operations.sealed_payloads import (
    Resealing,
    UnsealedCounts,
    left,
)
from twite.gateway.operations.sealed_payloads import opened as opened_payload
from twite.gateway.ports.outbox import Replay
from twite.gateway.ports.queries import PayloadHeadsQuery
from twite.gateway.ports.secret_store import Seal
from twite.gateway.ports.state import SealedSecret, SourceKeyUse
from twite.gateway.ports.store import Store


class KeyUseLaws:
    async def test_key_keeps_the_latest_time_of_its_use(self, store: Store) -> None:
        """Gateways store their uses in any order."""
        shop, blog = (
            SourceKeyUse(source=name, id="file", used_at=NOW) for name in ("shop", "blog")
        )
        later = msgspec.structs.replace(shop, used_at=NOW + 9)
        other = msgspec.structs.replace(shop, id="0a1b2c3d4e")

        await store.put([shop, blog])
        await store.put([later, other])
        await store.put([shop])

        assert await store.load(SourceKeyUse) == [blog, other, later]
        assert await store.load(SourceKeyUse, prefix="shop") == [other, later]


class SecretRecordLaws:
    async def test_stored_secret_is_returned_unchanged(self, store: Store) -> None:
        await store.put([SealedSecret(name="stape/o8z6j", sealed=b"\x00\xffsealed")])

        assert await _sealed(store, "stape/") == [("stape/o8z6j", b"\x00\xffsealed")]

    async def test_name_has_only_its_latest_secret(self, store: Store) -> None:
        await store.put([SealedSecret(name="stape/o8z6j", sealed=b"first")])
        await store.put([SealedSecret(name="stape/o8z6j", sealed=b"second")])

        assert await _sealed(store, "stape/") == [("stape/o8z6j", b"second")]

    async def test_secrets_are_found_by_prefix_in_order(self, store: Store) -> None:
        for name in ("stape/p2", "login/p1", "stape/p1", "stape", "stape0"):
            await store.put([SealedSecret(name=name, sealed=name.encode())])

        found = [name for name, _ in await _sealed(store, "stape/")]

        assert found == ["stape/p1", "stape/p2"]

    async def test_secret_can_be_deleted_twice(self, store: Store) -> None:
        await store.put([SealedSecret(name="stape/p1", sealed=b"one")])

        await store.delete(SealedSecret, "stape/p1")
        await store.delete(SealedSecret, "stape/p1")

        assert await _sealed(store, "") == []

    async def test_secret_sealed_again_replaces_only_the_same_version(self, store: Store) -> None:
        await store.put([SealedSecret(name="login/p1", sealed=b"one")])
        await store.put([SealedSecret(name="login/p2", sealed=b"two")])
        await store.delete(SealedSecret, "login/p2")

        await store.put(
            [SealedSecret(name="login/p1", sealed=b"one anew")],
            old_secret=SealedSecret(name="login/p1", sealed=b"one"),
        )
        await store.put(
            [SealedSecret(name="login/p1", sealed=b"late")],
            old_secret=SealedSecret(name="login/p1", sealed=b"one"),
        )
        await store.put(
            [SealedSecret(name="login/p2", sealed=b"two anew")],
            old_secret=SealedSecret(name="login/p2", sealed=b"two"),
        )

        assert await _sealed(store, "") == [("login/p1", b"one anew")]

    async def test_change_of_a_secret_is_audited(self, store: Store) -> None:
        put = AuditEvent(at=NOW, who="ada (command)", what="connect.done", subject="p1")
        forget = AuditEvent(at=NOW, who="ada (command)", what="connect.forget", subject="p1")

        await store.put([SealedSecret(name="login/p1", sealed=b"one")], audit_event=put)
        await store.delete(SealedSecret, "login/p1", audit_event=forget)

        assert [event.audit_event for event in await store.people.audit(after=0, limit=9)] == [
            put,
            forget,
        ]


async def _sealed(store: Store, prefix: str) -> list[tuple[str, bytes]]:
    return [
        (secret.name, secret.sealed) for secret in await store.load(SealedSecret, prefix=prefix)
    ]


TAG: Final = "tag:crm"


class PayloadSeal:
    """A seal for tests, without secrecy. Its keys are one byte each."""

    def __init__(self, key: bytes, *former: bytes) -> None:
        self._key = key
        self._former = former

    def close(self, name: str, plain: bytes) -> bytes:
        return self._key * 6 + name.encode() + plain

    def open(self, name: str, sealed: bytes) -> bytes:
        if not self.is_current(sealed) and not self.is_former(sealed):
            raise NotOpened(name, key_id=self.key_of(sealed))
        return sealed[6:].removeprefix(name.encode())

    def is_current(self, sealed: bytes) -> bool:
        return sealed[:1] == self._key

    def is_former(self, sealed: bytes) -> bool:
        return sealed[:1] in self._former

    def key_of(self, sealed: bytes) -> str:
        return sealed[:1].decode()


def a_payload(number: int = 1, *, seal: Seal | None, index: int = 0) -> AcceptedConversion:
    """Return a tag's queued payloads."""
    body = msgspec.json.encode({"event": {"number": number}})
    if seal is not None:
        body = msgspec.json.encode({"pixel": "o8z6j", "sealed": seal.close(TAG, body)})
    return msgspec.structs.replace(
        an_entry(f"order-{number}", pixel=TAG, event="purchase", index=index), body=body
    )


async def post(store: Store, *entries: AcceptedConversion) -> None:
    """Queue tag payloads."""
    await store.record(a_submission(*entries, receipt=f"r-{entries[0].conversion_id}"))


async def opened(store: Store, *, seal: Seal) -> list[object]:
    """Claim queued payloads, open them, and return their numbers in order."""
    batch = await claim(store, pixel=TAG)
    bodies = [opened_payload(each.body, name=TAG, seal=seal) for each in batch.deliveries]
    return [msgspec.json.decode(body)["event"]["number"] for body in bodies]


class TagPayloadLaws:
    async def test_queued_payload_sealed_again_is_sent_unchanged(self, store: Store) -> None:
        await post(store, a_payload(1, seal=PayloadSeal(b"1")))
        await post(store, a_payload(2, seal=PayloadSeal(b"1")))
        await post(store, a_payload(3, seal=None))
        await record(store, "order-of-a-pixel")

        done = await Resealing(outbox=store, seal=PayloadSeal(b"2", b"1")).all()

        assert done == 2
        assert await store.answer(PayloadHeadsQuery()) == [(b"222222", 2)]
        assert await opened(store, seal=PayloadSeal(b"2")) == [1, 2, 3]

    async def test_dead_payload_is_sealed_again(self, store: Store) -> None:
        await post(store, a_payload(seal=PayloadSeal(b"1")))
        batch = await claim(store, pixel=TAG)
        await settle(store, batch, "rejected", dead_lettered(batch))

        done = await Resealing(outbox=store, seal=PayloadSeal(b"2", b"1")).all()

        await store.move(Replay(deliveries=[batch.deliveries[0].id]), now=NOW)
        assert done == 1
        assert await opened(store, seal=PayloadSeal(b"2")) == [1]

    async def test_payload_in_flight_is_sealed_again_for_its_retry(self, store: Store) -> None:
        await post(store, a_payload(1, seal=None), a_payload(2, seal=None, index=1))
        batch = await claim(store, pixel=TAG)
        first, second = batch.deliveries

        done = await store.rewrite(
            lambda _, body: body.replace(b"}", b" }"), after=first.id - 1, limit=1
        )

        await settle(store, batch, "errored", postponed(batch, until=NOW))
        again = await claim(store, pixel=TAG)
        assert done.payloads == 1
        assert [delivery.body for delivery in again.deliveries] == [
            first.body.replace(b"}", b" }"), second.body,
        ]  # fmt: skip

    async def test_delivered_payload_needs_no_key(self, store: Store) -> None:
        await post(store, a_payload(seal=PayloadSeal(b"1")))
        batch = await claim(store, pixel=TAG)

        await settle(store, batch, "delivered", delivered(batch))

        assert await store.answer(PayloadHeadsQuery()) == []
        assert await Resealing(outbox=store, seal=PayloadSeal(b"2", b"1")).all() == 0

    async def test_all_payloads_are_sealed_again_in_slices(self, store: Store) -> None:
        sealed = [a_payload(number, seal=PayloadSeal(b"1"), index=number) for number in range(5)]
        others = [an_entry(f"other-{number}", index=number) for number in range(5, 9)]
        await post(store, *sealed[:3], *others, *sealed[3:])
        resealing = Resealing(outbox=store, seal=PayloadSeal(b"2", b"1"))
        turns = []

        last: int | None = 0
        while last is not None:
            turn = await store.rewrite(resealing.anew, after=last, limit=2)
            turns.append(turn.payloads)
            last = turn.last

        assert turns == [2, 1, 0, 1, 1]

    async def test_payload_whose_key_is_missing_is_counted(self, store: Store) -> None:
        for number in range(3):
            await post(store, a_payload(number, seal=PayloadSeal(str(number).encode())))
        seal = PayloadSeal(b"2", b"1")
        before = left(seal, secrets=(), heads=await store.answer(PayloadHeadsQuery()))

        done = await Resealing(outbox=store, seal=seal).all()

        after = left(seal, secrets=(), heads=await store.answer(PayloadHeadsQuery()))
        assert (before, done) == (UnsealedCounts(payloads=1, missing_keys={"0": 1}), 1)
        assert after == UnsealedCounts(missing_keys={"0": 1})
