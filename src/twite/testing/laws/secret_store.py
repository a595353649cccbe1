# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: sealed secrets, by name."""

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.state import SealedSecret
from twite.gateway.ports.store import Store
from twite.testing.builders import NOW


class SecretRecordLaws:
    async def test_what_is_put_comes_out_as_it_was(self, store: Store) -> None:
        await store.put([SealedSecret(name="stape/o8z6j", sealed=b"\x00\xffsealed")])

        assert await _sealed(store, "stape/") == [("stape/o8z6j", b"\x00\xffsealed")]

    async def test_a_name_holds_one_secret_the_latest(self, store: Store) -> None:
        await store.put([SealedSecret(name="stape/o8z6j", sealed=b"first")])
        await store.put([SealedSecret(name="stape/o8z6j", sealed=b"second")])

        assert await _sealed(store, "stape/") == [("stape/o8z6j", b"second")]

    async def test_secrets_are_found_by_how_their_names_begin_and_in_their_order(
        self, store: Store
    ) -> None:
        for name in ("stape/p2", "login/p1", "stape/p1", "stape", "stape0"):
            await store.put([SealedSecret(name=name, sealed=name.encode())])

        found = [name for name, _ in await _sealed(store, "stape/")]

        assert found == ["stape/p1", "stape/p2"]

    async def test_what_was_forgotten_is_gone_and_may_be_forgotten_again(
        self, store: Store
    ) -> None:
        await store.put([SealedSecret(name="stape/p1", sealed=b"one")])

        await store.delete(SealedSecret, "stape/p1")
        await store.delete(SealedSecret, "stape/p1")

        assert await _sealed(store, "") == []

    async def test_what_is_sealed_anew_takes_the_place_of_the_same_alone(
        self, store: Store
    ) -> None:
        await store.put([SealedSecret(name="login/p1", sealed=b"one")])
        await store.put([SealedSecret(name="login/p2", sealed=b"two")])
        await store.delete(SealedSecret, "login/p2")

        await store.put(
            [SealedSecret(name="login/p1", sealed=b"one anew")],
            was=SealedSecret(name="login/p1", sealed=b"one"),
        )
        await store.put(
            [SealedSecret(name="login/p1", sealed=b"late")],
            was=SealedSecret(name="login/p1", sealed=b"one"),
        )
        await store.put(
            [SealedSecret(name="login/p2", sealed=b"two anew")],
            was=SealedSecret(name="login/p2", sealed=b"two"),
        )

        assert await _sealed(store, "") == [("login/p1", b"one anew")]

    async def test_what_is_done_to_a_secret_is_noted_with_it(self, store: Store) -> None:
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
