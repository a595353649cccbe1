"""Copies of one (event, conversion id) by pixel and API count once within 48 hours."""

from urllib.parse import urlencode

import msgspec
import pytest
from x_requests import ADS, NOW, Time, a_conversion, a_hit, a_judge, answer_of, counted

from twite_emulator.exchange import XRequestReceived
from twite_emulator.state import MAX_HITS, Hits

HOUR = 3600


class Shop:
    """Sends copies of one order by API or pixel at given hours."""

    def __init__(self, *switches):
        self.clock = Time()
        self.judge = a_judge(*switches, clock=self.clock)

    def play(self, *copies):
        for hours, channel in copies:
            self.clock.now = NOW + hours * HOUR
            if channel == "pixel":
                self.judge.answer(a_hit())
            else:
                assert answer_of(self.judge, a_conversion())[0] == 200
        return counted(self.judge)


@pytest.mark.parametrize("first", ["pixel", "api"])
@pytest.mark.parametrize(("hours", "count"), [(0, 1), (47, 1), (48, 1), (48.01, 2)])
def test_pixel_and_api_copies_within_48_hours_count_once(first, hours, count):
    second = "api" if first == "pixel" else "pixel"

    assert Shop().play((0, first), (hours, second)) == count


@pytest.mark.parametrize(
    ("scope", "api", "pixel", "both"),
    [("pixel_api", 2, 2, 1), ("api_api", 1, 2, 1), ("all", 1, 1, 1), ("none", 2, 2, 2)],
)
def test_switch_dedup_scope_decides_which_copies_count_once(scope, api, pixel, both):
    switch = f"dedup_scope={scope}"

    found = [
        Shop(switch).play((0, first), (1, second))
        for first, second in (("api", "api"), ("pixel", "pixel"), ("pixel", "api"))
    ]

    assert found == [api, pixel, both]


def test_deduplication_window_can_be_switched():
    assert Shop("dedup_window=60").play((0, "pixel"), (1, "api")) == 2


def test_api_copies_that_counted_are_reported():
    shop = Shop()

    shop.play((0, "api"), (1, "api"), (60, "api"))

    count = shop.judge.ledger.events["o8z6j", "o8z6k"]
    assert (count.counted, count.api_duplicates, count.deduplicated) == (3, 1, 0)


@pytest.mark.parametrize(("keep", "kept"), [("first", "pixel"), ("last", "api")])
def test_switch_dedup_keep_decides_which_copy_counts(keep, kept):
    shop = Shop(f"dedup_keep={keep}")

    shop.play((0, "pixel"), (1, "api"))

    [(_, tally)] = shop.judge.ledger.ids_of(("o8z6j", "o8z6k"))
    assert tally.kept == kept


@pytest.mark.parametrize(("switch", "processed"), [("counted", 2), ("uncounted", 1)])
def test_switch_dedup_count_decides_whether_duplicates_are_processed(switch, processed):
    judge = a_judge("dedup_scope=all", f"dedup_count={switch}")

    _, document = answer_of(judge, a_conversion(), a_conversion())

    assert document["data"]["conversions_processed"] == processed


def test_conversion_with_another_event_or_id_is_not_a_copy():
    judge = a_judge("dedup_scope=all")

    answer_of(
        judge, a_conversion(), a_conversion(event_id="o8z6m"), a_conversion(conversion_id="2")
    )

    assert (counted(judge), counted(judge, "o8z6m")) == (2, 1)


def test_conversions_with_both_forms_of_an_event_id_are_copies():
    judge = a_judge("dedup_scope=all")

    answer_of(judge, a_conversion(), a_conversion(event_id="tw-o8z6j-o8z6k"))

    assert counted(judge) == 1


@pytest.mark.parametrize("conversion_id", [None, ""])
def test_conversions_without_an_id_are_never_duplicates(conversion_id):
    judge = a_judge("dedup_scope=all")

    answer_of(judge, *[a_conversion(conversion_id=conversion_id)] * 3)

    assert counted(judge) == 3


@pytest.mark.parametrize("path", ["/1/i/adsct", "/i/adsct"])
def test_pixel_hit_is_answered_with_a_gif(path):
    answer = a_judge().answer(a_hit(path=path)).answer

    assert (answer.status, answer.body[:6], dict(answer.headers)["content-type"]) == (
        200,
        b"GIF89a",
        "image/gif",
    )


def test_hit_of_xs_base_code_counts_as_a_page_view():
    judge = a_judge()

    judge.answer(a_hit(txn="o8z6j"))

    assert counted(judge, "page_view") == 1


def test_two_copies_of_a_pixel_hit_count_once():
    judge = a_judge()
    first = a_hit()
    hit = msgspec.structs.replace(first, query=f"{first.query}&event_id=an-id")

    for _ in range(2):
        judge.answer(hit)

    assert (counted(judge), [entry.copies for entry in judge.hits.entries]) == (1, [2])


def test_only_the_latest_pixel_hits_are_stored():
    hits = Hits()

    for number in range(MAX_HITS + 1):
        hits.is_new({"event_id": str(number)}, at=NOW)

    assert [hit.parameters["event_id"] for hit in hits.entries[:1]] == ["1"]


def test_pixel_hits_without_an_id_are_separate_conversions():
    hits = Hits()

    found = [hits.is_new({"txn_id": "o8z6k"}, at=NOW) for _ in range(2)]

    assert found == [True, True]


@pytest.mark.parametrize("event", ["{", "[]", "", "[" * 9999])
def test_pixel_hit_with_a_malformed_event_counts_without_an_id(event):
    judge = a_judge()
    query = urlencode({"txn_id": "o8z6k", "event": event})

    judge.answer(
        XRequestReceived(method="GET", url=ADS, path="/1/i/adsct", query=query, headers={})
    )

    assert judge.ledger.events["o8z6j", "o8z6k"].without_id == 1


def test_pixel_hit_with_an_unknown_txn_id_is_not_counted():
    judge = a_judge()

    answer = judge.answer(a_hit(txn="nobody")).answer

    assert (answer.status, judge.ledger.events) == (200, {})


@pytest.mark.parametrize(("mode", "found"), [("event", [1, 0]), ("tw", [0, 1]), ("any", [1, 1])])
def test_form_of_the_txn_id_can_be_switched(mode, found):
    counts = []
    for txn in ("o8z6k", "tw-o8z6j-o8z6k"):
        judge = a_judge(f"pixel_txn={mode}")
        judge.answer(a_hit(txn=txn))
        counts.append(counted(judge))

    assert counts == found


def test_pixel_accepts_events_of_other_pixels_of_its_account_by_default():
    document = {
        "pixels": [{"id": "o8z70", "account": "18ce54d4x5t", "token": "second"}],
    }
    statuses = []
    for scope in ("account", "pixel"):
        judge = a_judge(f"event_scope={scope}")
        judge.world.merge(document)
        statuses.append(answer_of(judge, a_conversion(), pixel="o8z70", token="second")[0])

    assert statuses == [200, 404]
