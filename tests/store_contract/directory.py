"""Store contract: users, sessions, API keys, and the append-only audit log."""

from collections.abc import Mapping

import msgspec
import pytest

from builders import NOW
from twite.domain.people.users import (
    ApiKey,
    AuditEvent,
    ChangeOfOne,
    KeyMade,
    KeyRevoked,
    KeyScope,
    LinkMade,
    PasswordSet,
    Result,
    Role,
    Session,
    TwoFactorDisabled,
    TwoFactorEnabled,
    User,
    UserAdded,
    UserAllowed,
    UserRemoved,
    first_wrong,
)
from twite.domain.secret import Secret
from twite.gateway.ports.directory import (
    Rehashed,
    SessionBegun,
)
from twite.gateway.ports.secret_store import CODES
from twite.gateway.ports.state import SealedSecret
from twite.gateway.ports.store import Store


def somebody(name: str = "ada") -> User:
    """Return a user with all optional fields set."""
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
    return Session(
        digest=digest,
        user=user,
        begun_at=begun_at,
        seen_at=begun_at,
        address="203.0.113.7",
        agent="Mozilla/5.0",
    )


def a_key(id_: str = "k1", *, at: int = NOW) -> ApiKey:
    return ApiKey(
        id=id_,
        name="reports",
        digest=id_.encode(),
        scopes=frozenset({KeyScope.HISTORY, KeyScope.ACCOUNTING}),
        created_at=at,
        made_by="ada",
        pixels=("o8z6j",),
    )


AUDIT_EVENT = AuditEvent(at=NOW, who="grace", what="user.test", subject="ada")


async def join(store: Store, user: User) -> None:
    assert await store.people.change(UserAdded(user=user), audit_event=AUDIT_EVENT) is Result.DONE


async def enter(store: Store, session: Session) -> None:
    assert await store.people.update(SessionBegun(session=session, user=somebody(session.user)))


class DirectoryLaws:
    async def test_user_is_stored_and_names_are_unique(self, store: Store) -> None:
        await join(store, somebody())
        other = msgspec.structs.replace(somebody(), role=Role.ADMIN, pixels=None)

        again = await store.people.change(UserAdded(user=other), audit_event=AUDIT_EVENT)

        assert again is Result.TAKEN
        assert await store.people.user("ada") == somebody()
        assert list(await store.people.users()) == [somebody()]

    @pytest.mark.parametrize(
        ("change", "makes"),
        [
            (
                UserAllowed(name="ada", role=Role.VIEWER, pixels=None),
                {"role": Role.VIEWER, "pixels": None},
            ),
            (
                PasswordSet(name="ada", password=Secret("$new"), at=NOW + 9),
                {"password": Secret("$new"), "password_at": NOW + 9},
            ),
            (TwoFactorDisabled(name="ada"), {"code_since": None, "code_step": 0, "recovery": ()}),
        ],
    )
    async def test_change_of_a_user_keeps_the_other_fields(
        self, store: Store, change: ChangeOfOne, makes: Mapping[str, object]
    ) -> None:
        await join(store, somebody())

        result = await store.people.change(change, audit_event=AUDIT_EVENT)

        assert result is Result.DONE
        assert await store.people.user("ada") == msgspec.structs.replace(somebody(), **makes)

    async def test_two_factor_is_enabled_only_if_it_was_off(self, store: Store) -> None:
        await join(store, msgspec.structs.replace(somebody(), code_since=None, recovery=()))
        begun = TwoFactorEnabled(name="ada", since=NOW + 2, step=7, recovery=("first", "second"))

        results = [await store.people.change(begun, audit_event=AUDIT_EVENT) for _ in range(2)]

        assert results == [Result.DONE, Result.OTHERWISE]
        assert await store.people.user("ada") == somebody()

    @pytest.mark.parametrize(
        "change", [TwoFactorDisabled(name="ada"), UserRemoved(name="ada")], ids=repr
    )
    async def test_two_factor_secret_is_deleted_when_it_is_disabled(
        self, store: Store, change: ChangeOfOne
    ) -> None:
        await join(store, somebody())
        await join(store, somebody("adam"))
        for name in ("ada", "adam"):
            await store.put([SealedSecret(name=CODES + name, sealed=b"sealed")])

        await store.people.change(change, audit_event=AUDIT_EVENT)

        assert [secret.name for secret in await store.load(SealedSecret, prefix=CODES)] == [
            f"{CODES}adam"
        ]

    async def test_role_and_password_changes_keep_the_two_factor_secret(self, store: Store) -> None:
        await join(store, somebody())
        await store.put([SealedSecret(name=f"{CODES}ada", sealed=b"sealed")])

        for change in (
            UserAllowed(name="ada", role=Role.VIEWER, pixels=None),
            PasswordSet(name="ada", password=Secret("$new"), at=NOW),
        ):
            await store.people.change(change, audit_event=AUDIT_EVENT)

        assert len(await store.load(SealedSecret, prefix=CODES)) == 1

    async def test_password_hash_is_renewed_only_if_unchanged(self, store: Store) -> None:
        await join(store, somebody())
        given = PasswordSet(name="ada", password=Secret("$2"), at=NOW, was=Secret("$0"))

        assert await store.people.change(given, audit_event=AUDIT_EVENT) is Result.OTHERWISE
        assert not await store.people.update(
            Rehashed(user="ada", was=Secret("$0"), now=Secret("$2"))
        )
        assert await store.people.user("ada") == somebody()
        assert await store.people.update(
            Rehashed(user="ada", was=somebody().password, now=Secret("$2"))
        )

    @pytest.mark.parametrize(
        "change",
        [
            UserAllowed(name="ada", role=Role.ADMIN, pixels=None),
            PasswordSet(name="ada", password=Secret("$new"), at=NOW),
            TwoFactorEnabled(name="ada", since=NOW, step=7, recovery=()),
            TwoFactorDisabled(name="ada"),
            UserRemoved(name="ada"),
        ],
    )
    async def test_change_of_a_removed_user_does_not_restore_it(
        self, store: Store, change: ChangeOfOne
    ) -> None:
        await join(store, somebody())
        await store.people.change(UserRemoved(name="ada"), audit_event=AUDIT_EVENT)

        assert await store.people.change(change, audit_event=AUDIT_EVENT) is Result.GONE
        assert await store.people.user("ada") is None

    @pytest.mark.parametrize(
        ("change", "left"),
        [
            (UserRemoved(name="ada"), []),
            (UserAllowed(name="ada", role=Role.VIEWER, pixels=None), []),
            (PasswordSet(name="ada", password=Secret("$new"), at=NOW, but=b"2"), [b"2"]),
            (TwoFactorDisabled(name="ada", but=b"2"), [b"2"]),
        ],
    )
    async def test_change_of_a_user_ends_the_sessions(
        self, store: Store, change: ChangeOfOne, left: list[bytes]
    ) -> None:
        await join(store, somebody())
        for digest in (b"1", b"2"):
            await enter(store, a_session(digest))

        await store.people.change(change, audit_event=AUDIT_EVENT)

        assert [session.digest for session in await store.people.sessions("ada")] == left

    async def test_link_is_kept_as_a_session_with_its_audit_event(self, store: Store) -> None:
        await join(store, somebody())

        made = LinkMade(session=a_session(b"1"), user=somebody())
        result = await store.people.change(made, audit_event=AUDIT_EVENT)

        assert result is Result.DONE
        assert await store.people.session(b"1") == a_session(b"1")

    async def test_link_of_a_user_with_another_password_is_not_kept(self, store: Store) -> None:
        await join(store, somebody())
        other = msgspec.structs.replace(somebody(), password=Secret("$other"))

        made = LinkMade(session=a_session(b"1"), user=other)
        result = await store.people.change(made, audit_event=AUDIT_EVENT)

        assert result is Result.OTHERWISE
        assert await store.people.session(b"1") is None

    async def test_expired_session_cannot_make_changes(self, store: Store) -> None:
        await join(store, somebody())
        await join(store, somebody("grace"))
        await enter(store, a_session(b"1", user="grace"))
        less = UserAllowed(name="grace", role=Role.VIEWER, pixels=None)
        await store.people.change(less, audit_event=AUDIT_EVENT)

        removed = UserRemoved(name="ada")
        result = await store.people.change(removed, audit_event=AUDIT_EVENT, session_digest=b"1")

        assert result is Result.OVER
        assert await store.people.user("ada") == somebody()

    @pytest.mark.parametrize(
        "end",
        [
            UserRemoved(name="ada"),
            UserAllowed(name="ada", role=Role.OPERATOR, pixels=None),
            UserAllowed(name="ada", role=Role.ADMIN, pixels=("o8z6j",)),
        ],
    )
    async def test_last_admin_of_all_pixels_cannot_be_demoted(
        self, store: Store, end: ChangeOfOne
    ) -> None:
        admin = msgspec.structs.replace(somebody(), role=Role.ADMIN, pixels=None)
        await join(store, admin)
        await join(store, msgspec.structs.replace(somebody("eve"), role=Role.ADMIN))
        grace = msgspec.structs.replace(admin, name="grace")

        alone = await store.people.change(end, audit_event=AUDIT_EVENT)
        await join(store, grace)
        with_another = await store.people.change(end, audit_event=AUDIT_EVENT)

        assert (alone, with_another) == (Result.LAST, Result.DONE)

    async def test_only_changes_that_took_effect_are_audited(self, store: Store) -> None:
        await join(store, somebody())

        for _ in range(2):
            audit_event = msgspec.structs.replace(AUDIT_EVENT, what="user.remove")
            await store.people.change(UserRemoved(name="ada"), audit_event=audit_event)

        chain = await store.people.audit(after=0, limit=9)
        assert [entry.audit_event.what for entry in chain] == ["user.test", "user.remove"]

    async def test_api_keys_are_stored_and_can_be_revoked_once(self, store: Store) -> None:
        for key in (a_key("k1"), a_key("k2", at=NOW + 1)):
            await store.people.change(KeyMade(key=key), audit_event=AUDIT_EVENT)

        revoked = [
            await store.people.change(KeyRevoked(id="k1", at=NOW + 9), audit_event=AUDIT_EVENT)
            for _ in range(2)
        ]

        assert revoked == [Result.DONE, Result.GONE]
        assert await store.people.api_key(b"k2") == a_key("k2", at=NOW + 1)
        assert await store.people.api_key(b"k3") is None
        assert list(await store.people.api_keys()) == [
            a_key("k2", at=NOW + 1),
            msgspec.structs.replace(a_key("k1"), revoked_at=NOW + 9),
        ]

    async def test_audit_log_is_a_chain_of_hashes_in_order(self, store: Store) -> None:
        for at in range(5):
            await store.people.note(
                AuditEvent(at=NOW + at, who="ada", what="replay", subject=str(at))
            )

        chain = await store.people.audit(after=0, limit=10)
        latest = await store.people.audit(before=5, limit=2)

        assert [entry.audit_event.subject for entry in chain] == ["0", "1", "2", "3", "4"]
        assert first_wrong(chain) is None
        assert [entry.number for entry in latest] == [4, 3]

    async def test_changed_entry_breaks_the_chain_of_the_audit_log(self, store: Store) -> None:
        for at in range(3):
            await store.people.note(AuditEvent(at=NOW + at, who="ada", what="replay"))
        chain = list(await store.people.audit(after=0, limit=10))

        audit_event = msgspec.structs.replace(chain[1].audit_event, who="eve")
        chain[1] = msgspec.structs.replace(chain[1], audit_event=audit_event)

        assert first_wrong(chain) == 2
