"""Bisection finds the invalid conversions of a refused batch."""

from random import Random

import msgspec
import pytest

from changing import Changing
from fakes import conversions_of, refused, taken
from twite.domain.blame.bisect import ALIKE, BUDGET, CONTROLS, Bisect
from twite.domain.delivery import Delivery
from twite.domain.outcome import Delivered, Rejected, RejectionScope
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.events import Paused
from twite.gateway.ports.transport import NoResponse
from twite.x.decode import ErrorEntry, complaints_of
from worker_bench import Setting


def rejected(*complaints, scope=RejectionScope.CONVERSION):
    said = complaints_of(
        [
            ErrorEntry(code="INVALID_PARAMETER", message=message, parameter=parameter)
            for message, parameter in complaints
        ]
    )
    return Rejected(scope=scope, reason="400", complaints=said)


NO_IDENTIFIER = rejected(("At least one user identifier must be provided", ""))


def a_batch(size=500, **bodies):
    return tuple(
        Delivery(
            id=n,
            conversion_id=f"c{n}",
            body=bodies.get(f"c{n}", b'{"conversion_id":"c%d"}' % n),
            received_at=0,
        )
        for n in range(size)
    )


class Trial:
    """A fake X for bisecting: refuses a batch with an invalid conversion."""

    def __init__(self, batch, bad, words=lambda _: NO_IDENTIFIER, cleared=()):
        self.cleared = frozenset(cleared)
        self.bad = set(bad)
        self.words = words
        self.left = batch
        self.requests = 0
        self.dead = []
        self.taken = set()
        self.verdicts = 0

    def round(self):
        """Bisect the rest once. The next round continues with the deliveries that were not sent."""
        bisect = Changing(Bisect.of(self.left, self._words(self.left), self.cleared))
        tried = 0
        while not bisect.is_over:
            group = bisect.next()
            tried += 1
            assert group
            if self._bad_of(group):
                bisect.answered(group, self._words(group))
            else:
                bisect.answered(group, Delivered(debug_id=""))
                self.taken.update(delivery.id for delivery in group)
        rest = bisect.rest
        assert tried <= BUDGET
        found = [delivery.id for delivery, _ in bisect.refused]
        assert sorted(
            [*found, *(delivery.id for delivery in rest), *self._taken_of(self.left)]
        ) == sorted(delivery.id for delivery in self.left)
        self.requests += tried
        self.dead += found
        self.verdicts += bisect.is_the_account
        self.left = rest

    def until_all_is_known(self):
        while self.left:
            if not self._bad_of(self.left):
                self.taken.update(delivery.id for delivery in self.left)
                break
            if len(self.left) == 1:
                self.dead.append(self.left[0].id)
                break
            self.round()
        return self

    def _bad_of(self, group):
        return [delivery for delivery in group if delivery.id in self.bad]

    def _taken_of(self, group):
        return [delivery.id for delivery in group if delivery.id in self.taken]

    def _words(self, group):
        return self.words(self._bad_of(group))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("count", [1, 2, 5, 10, 50, 250, 499, 500])
def test_all_invalid_conversions_are_found_and_no_valid_one_refused(count, seed):
    bad = Random(seed).sample(range(500), count)

    trial = Trial(a_batch(), bad).until_all_is_known()

    assert sorted(trial.dead) == sorted(bad)
    assert trial.taken == set(range(500)) - set(bad)


@pytest.mark.parametrize("place", [0, 1, 249, 250, 317, 498, 499])
def test_one_invalid_conversion_causes_at_most_19_more_requests(place):
    trial = Trial(a_batch(), [place])

    trial.round()

    assert trial.dead == [place]
    assert trial.requests <= 19
    assert len(trial.taken) == 499


@pytest.mark.parametrize("seed", range(12))
def test_five_invalid_conversions_cause_few_more_requests_than_necessary(seed):
    trial = Trial(a_batch(), Random(seed).sample(range(500), 5)).until_all_is_known()

    assert trial.requests <= 85


def echoing(parameter, values):
    def words(bad):
        return rejected(
            *dict.fromkeys(
                (f"{parameter} ({values[delivery.id]}) is not a valid SHA-256 hash", parameter)
                for delivery in bad
            )
        )

    return words


def holding(parameter, values):
    return {
        f"c{n}": f'{{"conversion_id":"c{n}","{parameter}":"{text}"}}'.encode()
        for n, text in values.items()
    }


def test_value_that_x_quotes_is_found_with_two_more_requests():
    values = {317: "abc"}
    trial = Trial(
        a_batch(**holding("hashed_email", values)), values, echoing("hashed_email", values)
    )

    trial.round()

    assert trial.dead == [317]
    assert trial.requests == 2


def test_several_values_that_x_quotes_are_found_at_once():
    values = {3: "abc", 99: "def", 400: "ghi"}
    trial = Trial(
        a_batch(**holding("hashed_email", values)), values, echoing("hashed_email", values)
    )

    trial.round()

    assert sorted(trial.dead) == [3, 99, 400]
    assert trial.requests == 4


def test_valid_conversion_with_the_quoted_value_is_accepted():
    values = {3: "abc", 99: "abc"}
    trial = Trial(a_batch(**holding("hashed_email", values)), [3], echoing("hashed_email", values))

    trial.round()

    assert trial.dead == [3]
    assert 99 in trial.taken
    assert trial.requests == 3


@pytest.mark.parametrize("text", ['a"b', "a\\b", "é", "a) is not (b", "<script>", "a\nb"])
def test_quoted_value_is_matched_as_spelled_in_json(text):
    body = msgspec.json.encode({"hashed_email": text})
    refusal = rejected((f"hashed_email ({text}) is not a valid SHA-256 hash", "hashed_email"))

    bisect = Changing(Bisect.of(a_batch(100, c42=body), refusal))

    sizes = [len(bisect.next()), len(bisect.next())]
    assert sizes == [99, 1]


def test_value_of_a_wrong_type_is_matched_by_its_quote():
    refusal = rejected(('Expected Double, got "20" for value', "value"))

    bisect = Changing(Bisect.of(a_batch(100, c7=b'{"value":"20"}'), refusal))

    assert [delivery.id for delivery in bisect.next()] == [n for n in range(100) if n != 7]


@pytest.mark.parametrize(
    "complaint",
    [
        ("hashed_email (zzz) is not a valid SHA-256 hash", "hashed_email"),
        ("hashed_email (abc) is not a valid SHA-256 hash", ""),
        ("something else (abc)", "hashed_email"),
        ("", ""),
    ],
)
def test_refusal_whose_quote_matches_no_conversion_is_bisected(complaint):
    bisect = Changing(Bisect.of(a_batch(100, c7=b'{"hashed_email":"abc"}'), rejected(complaint)))

    assert len(bisect.next()) == 50


def test_refusal_whose_quote_matches_too_many_is_bisected():
    bodies = {f"c{n}": b'{"hashed_email":"abc"}' for n in range(40)}
    refusal = rejected(("hashed_email (abc) is not a valid SHA-256 hash", "hashed_email"))

    assert len(Bisect.of(a_batch(100, **bodies), refusal).next()[1]) == 50


def test_error_without_a_quote_makes_the_other_conversions_suspect():
    refusal = rejected(
        ("hashed_email (abc) is not a valid SHA-256 hash", "hashed_email"),
        ("At least one user identifier must be provided", ""),
    )

    assert len(Bisect.of(a_batch(100, c7=b'{"hashed_email":"abc"}'), refusal).next()[1]) == 50


def test_request_that_is_too_large_is_split():
    bisect = Changing(Bisect.of(a_batch(9), rejected(scope=RejectionScope.SIZE)))

    first, second = bisect.next(), bisect.next()

    assert [len(first), len(second)] == [4, 5]


def test_equal_refusals_of_all_conversions_are_about_the_account():
    trial = Trial(a_batch(), range(500))

    trial.round()

    assert trial.verdicts == 1
    assert len(trial.dead) == ALIKE + CONTROLS
    assert len(trial.left) == 500 - ALIKE - CONTROLS


def test_different_refusals_of_all_conversions_are_not_about_the_account():
    def words(bad):
        name = "hashed_email" if bad[0].id % 2 else "hashed_phone_number"
        return rejected((f"{name} is bad", name))

    trial = Trial(a_batch(40), range(40), words)

    trial.round()

    assert trial.verdicts == 0


@pytest.mark.parametrize("count", [9, 10, 11, 14, 15, 16, 20, 50, 100, 250])
def test_several_invalid_conversions_in_a_row_are_not_about_the_account(count):
    trial = Trial(a_batch(), range(count)).until_all_is_known()

    assert trial.verdicts == 0
    assert sorted(trial.dead) == list(range(count))


@pytest.mark.parametrize("count", [9, 10, 14, 15, 16, 50, 250])
def test_fifteen_equal_refusals_since_the_last_success_may_be_about_the_account(count):
    """X may start to refuse everything at some point; successes before that prove nothing."""
    trial = Trial(a_batch(), range(500 - count, 500)).until_all_is_known()

    assert bool(trial.verdicts) is (count >= 15)


def test_conversions_held_before_can_all_be_invalid():
    batch = a_batch(50)
    alone, known = Trial(batch, range(50)), Trial(batch, range(50), cleared=range(50))

    alone.round()
    known.round()

    assert (alone.verdicts, known.verdicts) == (1, 0)


def test_fewer_than_ten_equal_refusals_are_not_about_the_account():
    trial = Trial(a_batch(9), range(9))

    trial.round()

    assert trial.verdicts == 0
    assert sorted(trial.dead) == list(range(9))


async def test_many_invalid_conversions_in_a_row_are_held_until_x_accepts_another():
    bad = {f"c{n}" for n in range(450, 500)}

    def reply(outbound):
        ids = {conversion["conversion_id"] for conversion in conversions_of(outbound)}
        said = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")
        return refused(said) if ids & bad else taken(outbound)

    setting = Setting(replies=[reply] * 400)
    await setting.run.start()
    await setting.record(*[f"c{n}" for n in range(500)])
    for _ in range(4):
        await setting.clock.advance(MINUTE)

    before = (await setting.store.balance())[0]
    await setting.record("later")
    await setting.clock.advance(MINUTE)
    later = await setting.state("later")
    await setting.clock.advance(2 * MINUTE)

    account = (await setting.store.balance())[0]
    assert (before.delivered, before.dead, before.held + before.pending) == (450, 0, 50)
    assert later == "delivered"
    assert (account.delivered, account.dead, account.held, account.pending) == (451, 50, 0, 0)
    paused = [notice for notice in setting.seen.notices if isinstance(notice, Paused)]
    assert {notice.pause.event for notice in paused} == {"o8z6k"}
    assert await setting.run.stop(within=1_000)


async def test_batch_size_that_x_refused_is_not_tried_again():
    def reply(outbound):
        ids = conversions_of(outbound)
        said = ("INVALID_PARAMETER", "Conversion count limit is 500", "")
        return refused(said) if len(ids) > 100 else taken(outbound)

    setting = Setting(replies=[reply] * 100)
    await setting.run.start()
    await setting.record(*[f"c{n}" for n in range(400)])
    await setting.clock.advance(MINUTE)
    await setting.record(*[f"d{n}" for n in range(400)])
    await setting.clock.advance(MINUTE)

    account = (await setting.store.balance())[0]
    sizes = [len(ids) for ids in setting.sent()]
    assert (account.delivered, account.dead, account.held) == (800, 0, 0)
    assert sizes[:3] == [400, 200, 100]
    assert max(sizes[3:]) <= 200
    assert await setting.run.stop(within=1_000)


async def test_bisection_ends_after_forty_hours():
    setting = Setting()
    ids = [f"c{n}" for n in range(500)]
    began = setting.clock.elapsed()
    setting.transport.reply(NoResponse(reason="no answer in time", left=True))
    await setting.record(*ids)
    await setting.run.start()
    await setting.clock.advance(SECOND)
    await setting.run.stop(within=1_000)
    # Nothing runs until ten minutes before the deadline.
    await setting.clock.advance(40 * HOUR - 10 * MINUTE)
    came = []

    async def post(outbound):
        await setting.clock.sleep(25 * SECOND)
        came.append(setting.clock.elapsed() - began)
        bad = {str(conversion["conversion_id"]) for conversion in conversions_of(outbound)} & set(
            ids[1::100]
        )
        said = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")
        return refused(said) if bad else taken(outbound)

    setting.transport.post = post
    setting.run = setting.new_run()
    await setting.run.start()
    await setting.clock.advance(2 * HOUR)
    states = {await setting.state(id_) for id_ in ids}
    await setting.run.stop(within=1_000)

    assert len(came) > 10
    assert max(came) < 40 * HOUR + 30 * SECOND
    assert states & {"queued", "held"}


def test_batch_with_mostly_invalid_conversions_is_tried_one_by_one():
    bad = Random(1).sample(range(500), 250)

    trial = Trial(a_batch(), bad).until_all_is_known()

    assert sorted(trial.dead) == sorted(bad)
    assert trial.requests <= 660
