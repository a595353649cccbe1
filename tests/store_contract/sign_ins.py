"""Store contract: sessions, used codes, and failed sign-ins."""

import msgspec
import pytest

from builders import NOW
from store_contract.directory import a_session, enter, join, somebody
from twite.domain.people.sign_in_limits import FailedSignIns, SignInLimit
from twite.domain.people.users import User
from twite.domain.secret import Secret
from twite.domain.times import HOUR
from twite.gateway.ports.directory import (
    FailuresReset,
    RecoveryUsed,
    SessionBegun,
    SessionEnded,
    SessionMoved,
    SessionSeen,
    SessionsEnded,
    SignInTried,
    StepUsed,
)
from twite.gateway.ports.store import Store


class SignInLaws:
    async def test_two_factor_code_is_accepted_once_and_in_order(self, store: Store) -> None:
        await join(store, somebody())

        taken = [
            await store.people.update(StepUsed(user="ada", step=step)) for step in (8, 8, 7, 9)
        ]

        assert taken == [True, False, False, True]
        assert not await store.people.update(StepUsed(user="nobody", step=8))

    async def test_recovery_code_is_used_once(self, store: Store) -> None:
        await join(store, somebody())

        taken = [
            await store.people.update(RecoveryUsed(user="ada", code="first")) for _ in range(2)
        ]

        assert taken == [True, False]
        kept = await store.people.user("ada")
        assert kept is not None
        assert kept.recovery == ("second",)

    async def test_sessions_are_found_by_digest_and_user(self, store: Store) -> None:
        await join(store, somebody())
        await join(store, somebody("grace"))
        await enter(store, a_session(b"1"))
        await enter(store, a_session(b"2", begun_at=NOW + 1))
        await enter(store, a_session(b"3", user="grace"))
        await store.people.update(SessionSeen(digest=b"1", at=NOW + 5))

        seen = msgspec.structs.replace(a_session(b"1"), seen_at=NOW + 5)
        assert await store.people.session(b"1") == seen
        found = await store.people.sessions("ada")
        assert [session.digest for session in found] == [b"2", b"1"]

    @pytest.mark.parametrize(
        "known",
        [
            msgspec.structs.replace(somebody(), password=Secret("$0")),
            msgspec.structs.replace(somebody(), code_since=None),
            somebody("grace"),
        ],
    )
    async def test_session_does_not_begin_with_outdated_credentials(
        self, store: Store, known: User
    ) -> None:
        await join(store, somebody())

        begun = await store.people.update(
            SessionBegun(session=a_session(b"1", user=known.name), user=known)
        )

        assert not begun
        assert await store.people.session(b"1") is None

    async def test_valid_session_can_get_a_new_token(self, store: Store) -> None:
        await join(store, somebody())
        await enter(store, a_session(b"1"))

        moved = [await store.people.update(SessionMoved(digest=b"1", to=to)) for to in (b"2", b"3")]

        assert moved == [True, False]
        assert [session.digest for session in await store.people.sessions("ada")] == [b"2"]

    async def test_one_session_or_all_others_of_a_user_can_be_ended(self, store: Store) -> None:
        await join(store, somebody())
        for digest in (b"1", b"2", b"3", b"4"):
            await enter(store, a_session(digest))
        await store.people.update(SessionEnded(digest=b"1"))

        assert await store.people.update(SessionsEnded(user="ada", but=b"2")) == 2
        assert [session.digest for session in await store.people.sessions("ada")] == [b"2"]

    async def test_new_session_deletes_expired_ones(self, store: Store) -> None:
        await join(store, somebody())
        await enter(store, a_session(b"1", begun_at=NOW - 100))
        await enter(store, a_session(b"2", begun_at=NOW - 10))

        await store.people.update(
            SessionBegun(
                session=a_session(b"3"),
                user=somebody(),
                begun_before=NOW - 50,
                seen_before=NOW - 5,
            )
        )

        assert [session.digest for session in await store.people.sessions("ada")] == [b"3"]

    async def test_failed_sign_ins_are_counted_until_a_wait_is_required(self, store: Store) -> None:
        tried = SignInTried(
            limits=(SignInLimit(key=b"ada", free=2), SignInLimit(key=b"here", free=9)), at=NOW
        )
        counted = [await store.people.update(tried) for _ in range(4)]

        assert [times > 0 for times in counted] == [True, True, False, False]
        assert await store.people.failed_sign_ins([b"ada", b"here", b"there"]) == {
            b"ada": FailedSignIns(key=b"ada", times=2, at=NOW),
            b"here": FailedSignIns(key=b"here", times=2, at=NOW),
        }

    async def test_failed_sign_in_is_forgotten_after_an_hour(self, store: Store) -> None:
        for at in (NOW, NOW + HOUR):
            limit = SignInLimit(key=b"ada", free=1)
            assert await store.people.update(SignInTried(limits=(limit,), at=at))

        failed = await store.people.failed_sign_ins([b"ada"])

        assert failed == {b"ada": FailedSignIns(key=b"ada", times=1, at=NOW + HOUR)}

    async def test_successful_sign_in_resets_only_its_own_count(self, store: Store) -> None:
        limits = tuple(SignInLimit(key=key, free=9) for key in (b"both", b"name", b"here"))
        for tried in (limits, limits[:2], limits[:2]):
            await store.people.update(SignInTried(limits=tried, at=NOW))

        await store.people.update(FailuresReset(key=b"both", others=(b"name", b"here")))

        assert await store.people.failed_sign_ins([b"both", b"name", b"here"]) == {
            b"name": FailedSignIns(key=b"name", times=2, at=NOW)
        }
