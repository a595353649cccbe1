import msgspec
import pytest
from consent_shop import Shop

from builders import NOW, a_submission, an_entry
from twite.consent.verdict import judging
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.gateway.ports.events import ProblemSeen
from twite.gateway.ports.tags import policy_for


async def test_unchanged_policy_withdraws_no_conversion():
    shop = Shop()
    await shop.start_again()
    await shop.sell(consent={"ad_storage": "granted"})

    assert await shop.start_again() == 0
    assert (await shop.history()).state is State.QUEUED


@pytest.mark.parametrize(
    ("said", "before", "after", "state", "reason"),
    [
        (None, {}, {"required": True}, State.SUPPRESSED, "consent_missing"),
        (None, {}, {"required": True, "missing": ConsentAction.HOLD}, State.HELD,
         "consent_missing"),
        ({"ad_storage": "granted"}, {}, {"required": True}, State.QUEUED, None),
        (
            {"npa": "1"}, {"personalization_denied": ConsentAction.SEND}, {}, State.SUPPRESSED,
            "consent_limited: npa",
        ),
        ({"npa": "1"}, {}, {"required": True}, State.SUPPRESSED, "consent_missing"),
        (
            {"gpc": True}, {"us_opt_out": ConsentAction.RESTRICT}, {}, State.SUPPRESSED,
            "consent_denied: gpc",
        ),
        (
            {"ad_storage": "denied"}, {"storage_denied": ConsentAction.STRIP}, {}, State.SUPPRESSED,
            "consent_denied: ad_storage",
        ),
        (
            {"ad_storage": "denied"}, {"storage_denied": ConsentAction.STRIP},
            {"storage_denied": ConsentAction.STRIP, "missing": ConsentAction.HOLD},
            State.QUEUED, None,
        ),
        (
            {"region": "US"}, {}, {"strict_regions": frozenset({"US"})}, State.SUPPRESSED,
            "consent_missing",
        ),
        ({"gcd": "11r1r1r1r5"}, {}, {"tcf_purposes": (1, 2)}, State.QUEUED, None),
        (
            {"gpp": "DBABjw~~"}, {"unclear": None}, {"tcf_vendor_id": 3}, State.SUPPRESSED,
            "consent_unclear: gpp",
        ),
    ],
)  # fmt: skip
async def test_changed_policy_decides_queued_conversions_again(said, before, after, state, reason):
    shop = Shop(**before)
    await shop.start_again()
    await shop.sell(consent=said)

    shop.policy(**after)
    taken = await shop.start_again()

    history = await shop.history()
    assert (history.state, history.reason, taken) == (
        state,
        reason,
        0 if state is State.QUEUED else 1,
    )


async def test_policy_change_is_reported_once():
    shop = Shop()
    await shop.start_again()
    await shop.sell()
    shop.policy(required=True)

    await shop.start_again()
    await shop.start_again()

    assert shop.notices == [
        ProblemSeen(
            where="consent",
            reason="the consent policy of source shop has changed: 1 conversion will not be sent",
        )
    ]


async def test_held_conversion_stays_held_after_a_policy_change():
    shop = Shop(unclear=ConsentAction.HOLD)
    await shop.start_again()
    await shop.sell(consent={"gcd": "what"})

    shop.policy(unclear=ConsentAction.HOLD, us_opt_out=ConsentAction.RESTRICT)

    assert await shop.start_again() == 0
    assert (await shop.history()).state is State.HELD


async def test_tag_deliveries_are_decided_again_by_the_policy_of_the_tag():
    # With an unreadable signal and a denial of personalization, the pixel's copy is held and
    # restricted. Templates are not given that restriction.
    said = {"npa": "1", "us_privacy": "what?"}
    first = ConsentPolicy(personalization_denied=ConsentAction.SEND, unclear=None)
    shop = Shop(personalization_denied=ConsentAction.SEND, unclear=None)
    judge = judging(policy=policy_for(first), now=NOW)
    evidence = judge(said, Identifiers(), "o8z6j").evidence
    payload = msgspec.structs.replace(an_entry(pixel="tag:crm", event="purchase"), consent=evidence)
    await shop.start_again()
    await shop.sell(consent=said)
    await shop.store.record(a_submission(payload, receipt="r-tag"))
    before = [history.state for history in await shop.both_histories()]

    shop.policy(personalization_denied=ConsentAction.RESTRICT, unclear=ConsentAction.HOLD)
    await shop.start_again()

    assert before == [State.QUEUED, State.QUEUED]
    histories = {history.pixel: history.state for history in await shop.both_histories()}
    assert histories == {"o8z6j": State.HELD, "tag:crm": State.SUPPRESSED}
