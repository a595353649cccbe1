# ruff: noqa: S101 - assertions are how laws speak
"""Users, sessions and keys are kept as they are; the audit is appended to and nothing else."""

import msgspec

from twite.domain.people import ApiKey, Deed, Role, Scope, Session, User, first_wrong
from twite.domain.secret import Secret
from twite.testing.builders import NOW
from twite.testing.laws.acts import Store


def somebody(name: str = "ada") -> User:
    """Return a user with everything that one may have."""
    return User(
        name=name,
        role=Role.OPERATOR,
        password=Secret("$argon2id$…"),
        created_at=NOW,
        password_at=NOW + 1,
        pixels=("o8z6j", "o8z7k"),
        code_since=NOW + 2,
        code_step=7,
        recovery=("first", "second"),
    )


def a_session(digest: bytes = b"1", *, user: str = "ada", begun_at: int = NOW) -> Session:
    """Return a session."""
    return Session(
        digest=digest,
        user=user,
        begun_at=begun_at,
        seen_at=begun_at,
        address="203.0.113.7",
        agent="Mozilla/5.0",
    )


def a_key(id_: str = "k1", *, at: int = NOW) -> ApiKey:
    """Return a program's key."""
    return ApiKey(
        id=id_,
        name="reports",
        digest=id_.encode(),
        scopes=frozenset({Scope.LIVES, Scope.ACCOUNTING}),
        created_at=at,
        made_by="ada",
        pixels=("o8z6j",),
    )


class PeopleLaws:
    async def test_a_user_comes_back_as_kept_and_the_latest_word_counts(self, store: Store) -> None:
        await store.people.keep_user(somebody())
        changed = msgspec.structs.replace(somebody(), role=Role.ADMIN, pixels=None)
        await store.people.keep_user(changed)

        assert await store.people.user("ada") == changed
        assert list(await store.people.users()) == [changed]

    async def test_a_removed_user_is_gone_with_their_sessions(self, store: Store) -> None:
        await store.people.keep_user(somebody())
        await store.people.begin(a_session())

        assert await store.people.remove_user("ada")
        assert not await store.people.remove_user("ada")
        assert await store.people.user("ada") is None
        assert await store.people.session(b"1") is None

    async def test_the_code_of_a_step_is_taken_once_and_none_before_it(self, store: Store) -> None:
        await store.people.keep_user(somebody())

        taken = [await store.people.take_step("ada", step) for step in (8, 8, 7, 9)]

        assert taken == [True, False, False, True]
        assert not await store.people.take_step("nobody", 8)

    async def test_a_recovery_code_is_taken_once(self, store: Store) -> None:
        await store.people.keep_user(somebody())

        taken = [await store.people.take_recovery("ada", "first") for _ in range(2)]

        assert taken == [True, False]
        kept = await store.people.user("ada")
        assert kept is not None
        assert kept.recovery == ("second",)

    async def test_sessions_are_found_by_digest_and_by_user(self, store: Store) -> None:
        await store.people.begin(a_session(b"1"))
        await store.people.begin(a_session(b"2", begun_at=NOW + 1))
        await store.people.begin(a_session(b"3", user="grace"))
        await store.people.seen(b"1", at=NOW + 5)

        seen = msgspec.structs.replace(a_session(b"1"), seen_at=NOW + 5)
        assert await store.people.session(b"1") == seen
        found = await store.people.sessions("ada")
        assert [one.digest for one in found] == [b"2", b"1"]

    async def test_sessions_end_one_by_one_and_all_but_one(self, store: Store) -> None:
        for digest in (b"1", b"2", b"3", b"4"):
            await store.people.begin(a_session(digest))
        await store.people.end(b"1")

        assert await store.people.end_all("ada", but=b"2") == 2
        assert [one.digest for one in await store.people.sessions("ada")] == [b"2"]

    async def test_sessions_that_are_over_are_forgotten(self, store: Store) -> None:
        await store.people.begin(a_session(b"1", begun_at=NOW - 100))
        await store.people.begin(a_session(b"2", begun_at=NOW - 10))
        await store.people.begin(a_session(b"3"))

        await store.people.end_old(begun_before=NOW - 50, seen_before=NOW - 5)

        assert [one.digest for one in await store.people.sessions("ada")] == [b"3"]

    async def test_keys_of_programs_are_kept_and_revoked_once(self, store: Store) -> None:
        await store.people.keep_api_key(a_key("k1"))
        await store.people.keep_api_key(a_key("k2", at=NOW + 1))

        revoked = [await store.people.revoke_api_key("k1", at=NOW + 9) for _ in range(2)]

        assert revoked == [True, False]
        assert await store.people.api_key(b"k2") == a_key("k2", at=NOW + 1)
        assert await store.people.api_key(b"k3") is None
        assert list(await store.people.api_keys()) == [
            a_key("k2", at=NOW + 1),
            msgspec.structs.replace(a_key("k1"), revoked_at=NOW + 9),
        ]

    async def test_the_audit_is_a_chain_in_the_order_of_what_was_done(self, store: Store) -> None:
        for at in range(5):
            await store.people.note(Deed(at=NOW + at, who="ada", what="replay", subject=str(at)))

        chain = await store.people.chain(after=0, limit=10)
        latest = await store.people.entries(before=5, limit=2)

        assert [entry.deed.subject for entry in chain] == ["0", "1", "2", "3", "4"]
        assert first_wrong(chain) is None
        assert [entry.number for entry in latest] == [4, 3]

    async def test_any_change_of_an_entry_breaks_the_chain_there(self, store: Store) -> None:
        for at in range(3):
            await store.people.note(Deed(at=NOW + at, who="ada", what="replay"))
        chain = list(await store.people.chain(after=0, limit=10))

        deed = msgspec.structs.replace(chain[1].deed, who="eve")
        chain[1] = msgspec.structs.replace(chain[1], deed=deed)

        assert first_wrong(chain) == 2
