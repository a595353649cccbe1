# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: sealed secrets, by name."""

from twite.domain.people.users import AuditEvent
from twite.gateway.ports.store import Store
from twite.testing.builders import NOW


class SecretRecordLaws:
    async def test_what_is_put_into_the_vault_comes_out_as_it_was(self, store: Store) -> None:
        await store.vault.put("stape/o8z6j", b"\x00\xffsealed")

        assert list(await store.vault.sealed("stape/")) == [("stape/o8z6j", b"\x00\xffsealed")]

    async def test_a_name_holds_one_secret_the_latest(self, store: Store) -> None:
        await store.vault.put("stape/o8z6j", b"first")
        await store.vault.put("stape/o8z6j", b"second")

        assert list(await store.vault.sealed("stape/")) == [("stape/o8z6j", b"second")]

    async def test_secrets_are_found_by_how_their_names_begin_and_in_their_order(
        self, store: Store
    ) -> None:
        for name in ("stape/p2", "login/p1", "stape/p1", "stape", "stape0"):
            await store.vault.put(name, name.encode())

        found = [name for name, _ in await store.vault.sealed("stape/")]

        assert found == ["stape/p1", "stape/p2"]

    async def test_what_was_forgotten_is_gone_and_may_be_forgotten_again(
        self, store: Store
    ) -> None:
        await store.vault.put("stape/p1", b"one")

        await store.vault.forget("stape/p1")
        await store.vault.forget("stape/p1")

        assert list(await store.vault.sealed("")) == []

    async def test_what_is_sealed_anew_takes_the_place_of_the_same_alone(
        self, store: Store
    ) -> None:
        await store.vault.put("login/p1", b"one")
        await store.vault.put("login/p2", b"two")
        await store.vault.forget("login/p2")

        await store.vault.reseal("login/p1", was=b"one", sealed=b"one anew")
        await store.vault.reseal("login/p1", was=b"one", sealed=b"late")
        await store.vault.reseal("login/p2", was=b"two", sealed=b"two anew")

        assert list(await store.vault.sealed("")) == [("login/p1", b"one anew")]

    async def test_what_is_done_to_a_secret_is_noted_with_it(self, store: Store) -> None:
        put = AuditEvent(at=NOW, who="ada (command)", what="connect.done", subject="p1")
        forget = AuditEvent(at=NOW, who="ada (command)", what="connect.forget", subject="p1")

        await store.vault.put("login/p1", b"one", deed=put)
        await store.vault.forget("login/p1", deed=forget)

        assert [event.deed for event in await store.people.chain(after=0, limit=9)] == [put, forget]
