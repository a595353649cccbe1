"""Store contract: flaws of match keys, counted as their lists show them."""

import msgspec

from builders import NOW, a_submission, an_entry
from store_contract.actions import EVENT, PIXEL, histories
from twite.domain.fault import MaskedFault
from twite.domain.stats.match_keys import Flaw, FlawCount
from twite.domain.submission import FlawedIdentifier, RejectedConversion
from twite.domain.times import DAY
from twite.gateway.ports.listing import ListedState, ListQuery, QueryScope
from twite.gateway.ports.queries import FlawsQuery
from twite.gateway.ports.store import Store

EVERYTHING = QueryScope()
OTHERS = QueryScope(pixels=frozenset({"p2"}))
SPOILT = Flaw(code="phone_unusable", path="phone", shape="999")


class FlawLaws:
    async def test_flaws_count_stored_and_rejected_conversions_as_their_lists_do(
        self, store: Store
    ) -> None:
        named = MaskedFault(path=SPOILT.path, code=SPOILT.code, message="no")
        other = msgspec.structs.replace(SPOILT, code="upper_case_hash")
        # Two of the order's identifiers have the flaw. Of the rejected ones, two are of the event,
        # one is of an unknown event, and one was rejected for another reason.
        flaws = [
            FlawedIdentifier(index=0, pixel=PIXEL, event=EVENT, flaw=SPOILT, wins=True),
            FlawedIdentifier(index=0, pixel=PIXEL, event=EVENT, flaw=SPOILT),
            *(
                FlawedIdentifier(index=index, pixel=PIXEL, event=event, flaw=SPOILT)
                for index, event in ((1, EVENT), (2, EVENT), (3, ""))
            ),
            FlawedIdentifier(index=4, pixel=PIXEL, event=EVENT, flaw=other),
        ]
        refusals = [
            RejectedConversion(
                index=index,
                pixel=PIXEL,
                errors=(),
                event="purchase",
                faults=(msgspec.structs.replace(named, code=code),),
                event_id=event,
            )
            for index, event, code in (
                (1, EVENT, SPOILT.code),
                (2, EVENT, SPOILT.code),
                (3, "", SPOILT.code),
                (4, EVENT, "value_missing"),
            )
        ]
        for at, name in ((NOW, "first"), (NOW + DAY, "second")):
            submission = a_submission(an_entry(name), receipt=name, received_at=at)
            await store.record(msgspec.structs.replace(submission, flaws=tuple(flaws)))
        rejected = a_submission(receipt="rejected", received_at=NOW + 2 * DAY)
        await store.record(
            msgspec.structs.replace(rejected, flaws=tuple(flaws[2:]), refusals=tuple(refusals))
        )
        (history,) = await histories(store, "second")

        found = list(await store.answer(FlawsQuery(scope=EVERYTHING, since=0)))
        lists = [
            await store.page(ListQuery(state=state, reason=SPOILT.code, events=frozenset({event})))
            for state in (ListedState.FLAWED, ListedState.REJECTED)
            for event in (EVENT, "")
        ]

        flaw = FlawCount(
            pixel=PIXEL,
            event=EVENT,
            code=SPOILT.code,
            times=2,
            rejected=2,
            shape=SPOILT.shape,
            delivery=history.delivery,
            wins=2,
        )
        unknown = msgspec.structs.replace(
            flaw, event="", times=0, rejected=1, delivery=None, wins=0
        )
        assert found == [flaw, unknown]
        assert [len(listed.summaries) for listed in lists] == [2, 0, 2, 1]
        assert list(await store.answer(FlawsQuery(scope=OTHERS, since=0))) == []
