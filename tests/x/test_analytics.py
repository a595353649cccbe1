"""X's analytics: what is asked, and how each documented or unknown form of an answer is read."""

import gzip
import tracemalloc

import msgspec
import pytest
from msgspec.structs import replace

from builders import a_destination_with_oauth
from twite.domain.results.account_days import Granularity
from twite.domain.results.figures import EventFigure, FigureGroup
from twite.domain.results.stats_request import StatsRequest
from twite.x.ads_account import read_campaigns, read_line_items
from twite.x.analytics import (
    AnalyticsQuestions,
    figures_of,
    file_request,
    is_file_url,
    read_active,
    read_job,
    read_jobs,
    read_stats,
    unzipped,
)

ASKS = AnalyticsQuestions(version="12", account="18ce54d4x5t")
REQUEST = StatsRequest(
    campaigns=["8u94t", "8u94u"],
    placement="SPOTLIGHT",
    group=FigureGroup.CONVERSIONS,
    start="2026-11-20T00:00:00+05:30",
    end="2026-11-22T00:00:00+05:30",
    lengths=[1, 1],
)


def stats(metrics, *, group=FigureGroup.CONVERSIONS, length=2, lengths=(1, 1), **entity):
    body = {
        "data_type": "stats",
        "time_series_length": length,
        "data": [{"id": "8u94t", "id_data": [{"segment": None, "metrics": metrics}]} | entity],
        "request": {"params": {}},
    }
    request = replace(REQUEST, group=group, lengths=lengths)
    answer = read_stats(msgspec.json.encode(body), stats_request=request)
    if answer is None:
        return None
    read, *_ = figures_of(answer, stats_request=request, fetched_at=7)
    return read


def purchases(read):
    return [cells[0].events.get("PURCHASE") for cells in read.cells]


def test_statistics_are_asked_by_day_with_a_signed_query():
    question = ASKS.stats(REQUEST)

    assert question.method == "GET"
    assert question.path == (
        "/12/stats/accounts/18ce54d4x5t?entity=CAMPAIGN&entity_ids=8u94t%2C8u94u"
        "&start_time=2026-11-20T00%3A00%3A00%2B05%3A30&end_time=2026-11-22T00%3A00%3A00%2B05%3A30"
        "&granularity=DAY&placement=SPOTLIGHT&metric_groups=WEB_CONVERSION"
    )
    assert ASKS.new_job(REQUEST).method == "POST"
    assert ASKS.jobs(["1", "2"]).path.endswith("?job_ids=1%2C2&count=200")


def test_counts_amounts_and_quantities_are_read_by_day():
    read = stats(
        {
            "conversion_purchases": {
                "metric": [2, 0],
                "sale_amount": [49_900_000, 0],
                "order_quantity": [3, None],
            },
            "conversion_searches": None,
        }
    )

    assert purchases(read) == [
        EventFigure(count=2, sale_amount=49_900_000, order_quantity=3),
        EventFigure(count=0, sale_amount=0),
    ]
    assert "SEARCH" not in read.cells[0][0].events
    assert read.unreadable == ()


@pytest.mark.parametrize(
    "metric",
    [
        {"metric": [2, 1]},
        [2, 1],
        {"post_view": [1, 1], "post_engagement": [1, 0], "assisted": [9, 9]},
    ],
)
def test_count_is_read_in_each_form_that_x_documents_for_some_metric(metric):
    read = stats({"conversion_purchases": metric})

    assert [figure.count for figure in purchases(read)] == [2, 1]


def test_spend_is_read_and_null_is_none():
    read = stats({"billed_charge_local_micro": [5, 0]}, group=FigureGroup.SPEND)
    none = stats({"billed_charge_local_micro": None}, group=FigureGroup.SPEND)

    assert [cells[0].spend_micro for cells in read.cells] == [5, 0]
    assert [cells[0].spend_micro for cells in none.cells] == [None, None]


@pytest.mark.parametrize("metrics", [{}, None, {"conversion_purchases": {}}])
def test_entity_without_figures_has_a_cell_without_figures(metrics):
    read = stats(metrics)

    assert [cells[0].events for cells in read.cells] == [{}, {}]


@pytest.mark.parametrize(
    ("metrics", "named"),
    [
        ({"conversion_purchases": {"metric": [1]}}, "not an array of 2 numbers"),
        ({"conversion_purchases": {"metric": ["1", 2]}}, "not numbers"),
        ({"conversion_purchases": {"metric": [True, 2]}}, "not numbers"),
        ({"conversion_purchases": 5}, "not an array"),
        ({"conversion_refunds": {"metric": [1, 1]}}, "unknown metric"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(metrics, named):
    read = stats(metrics)

    assert purchases(read) == [None, None]
    assert named in read.unreadable[0]


def test_entity_that_cannot_be_read_leaves_the_others():
    answer = read_stats(b'{"data":[5,{"id":"c","id_data":[]}]}', stats_request=REQUEST)
    bad, good, *_ = figures_of(answer, stats_request=REQUEST, fetched_at=7)

    assert (bad.cells, bad.unreadable) == ([[], []], ("data: not an object with id and id_data",))
    assert [cells[0].campaign for cells in good.cells] == ["c", "c"]


def test_segments_are_not_added_to_the_whole():
    parts = [
        {
            "segment": {"segment_name": "iOS"},
            "metrics": {"conversion_purchases": {"metric": [9, 9]}},
        },
        {"segment": None, "metrics": {"conversion_purchases": {"metric": [1, 2]}}},
    ]
    read = stats({}, id_data=parts)

    assert [figure.count for figure in purchases(read)] == [1, 2]


def test_hours_are_added_up_to_the_days_of_the_account():
    metric = {"metric": [1, None, 2, 4], "sale_amount": [None, None, None, 5]}
    read = stats({"conversion_purchases": metric}, length=4, lengths=(1, 1, 2))

    assert purchases(read) == [
        EventFigure(count=1),
        None,
        EventFigure(count=6, sale_amount=5),
    ]


def test_hours_are_asked_for_by_their_name():
    by_hour = replace(REQUEST, granularity=Granularity.HOUR, lengths=(24, 25))

    assert "&granularity=HOUR&" in ASKS.stats(by_hour).path
    assert stats({}, length=2, lengths=(24, 25)) is None


@pytest.mark.parametrize("length", [1, 3])
def test_series_of_another_length_is_no_answer(length):
    assert stats({}, length=length) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data":5}', b"\xff"])
def test_other_bodies_are_no_answers(body):
    assert read_stats(body, stats_request=REQUEST) is None
    assert [read(body) for read in (read_active, read_campaigns, read_line_items, read_jobs)] == [
        None
    ] * 4


def test_currency_of_a_campaign_is_its_own_or_that_of_its_funding_instrument():
    body = b"""{"data":[{"id":"a","name":"A","currency":"EUR","funding_instrument_id":"f"},
      {"id":"b","name":null,"funding_instrument_id":"f"},{"id":"c"}],"next_cursor":null}"""
    campaigns = [each.known({"f": "GBP"}) for each in read_campaigns(body).data]

    assert [(each.name, each.currency) for each in campaigns] == [
        ("A", "EUR"),
        ("", "GBP"),
        ("", ""),
    ]


def test_line_item_is_active_unless_x_says_that_it_is_paused_or_a_draft():
    states = ["ACTIVE", "PAUSED", "DRAFT", None, "SOMETHING_NEW"]
    body = {"data": [{"id": "l", "campaign_id": "c", "entity_status": state} for state in states]}
    body["data"].append({"id": "l", "campaign_id": "c"})
    found = read_line_items(msgspec.json.encode(body)).data

    assert [item.is_active for item in found] == [True, False, False, True, True, True]


def test_job_is_processing_done_or_failed():
    bodies = [
        {"id_str": "1120829647711653888", "id": 1120829647711653888, "status": "PROCESSING"},
        {"id_str": "2", "status": "SUCCESS", "url": "https://ton.x.com/f.json.gz"},
        {"id_str": "3", "status": "FAILED"},
    ]
    found = [read_job(msgspec.json.encode({"data": body})) for body in bodies]

    assert [(job.id, job.is_done, job.is_failed) for job in found] == [
        ("1120829647711653888", False, False),
        ("2", True, False),
        ("3", False, True),
    ]


@pytest.mark.parametrize(
    ("url", "is_asked"),
    [
        ("https://ton.twimg.com/advertiser-api-async-analytics/f.json.gz", True),
        ("http://127.0.0.1:8090/f.json.gz", True),  # the emulator's own
        ("http://169.254.169.254/latest", False),
        ("file:///etc/passwd", False),
        ("https://user@host/f", False),
    ],
)
def test_file_of_a_job_is_asked_only_over_tls_or_from_x_itself(url, is_asked):
    assert is_file_url(url, api_url="http://127.0.0.1:8090") is is_asked


def test_request_for_a_file_is_signed_only_with_keys():
    url = "https://ton.twimg.com/f.json.gz?part=1"
    keys = a_destination_with_oauth().credentials

    unsigned = file_request(url, None, nonce="n", timestamp=1)
    signed = file_request(url, keys, nonce="n", timestamp=1)

    assert (unsigned.url, unsigned.headers) == (url, {})
    assert (signed.url, list(signed.headers)) == (url, ["Authorization"])


def test_file_may_be_compressed_or_not_and_damage_is_noticed():
    packed = gzip.compress(b'{"data":[]}')

    assert unzipped(packed) == unzipped(b'{"data":[]}') == b'{"data":[]}'
    assert unzipped(packed[:-9]) is None
    assert unzipped(b"\x1f\x8bnot gzip at all") is None


def test_file_that_would_fill_the_memory_is_not_decompressed():
    bomb = gzip.compress(bytes(100 << 20))
    tracemalloc.start()
    try:
        assert unzipped(bomb) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < 1 << 20
    assert peak < 80 << 20


def test_campaign_that_an_answer_omits_is_named_and_marked():
    answer = read_stats(b'{"data":[{"id":"8u94t","id_data":[]}]}', stats_request=REQUEST)
    _, omitted = figures_of(answer, stats_request=REQUEST, fetched_at=7)

    assert [[(cell.campaign, cell.is_omitted) for cell in day] for day in omitted.cells] == [
        [("8u94u", True)]
    ] * 2
    assert omitted.unreadable == ("campaign 8u94u: X omitted its figures",)


@pytest.mark.parametrize("number", [1e308, -1, -0.5, 10**19])
def test_absurd_number_is_refused_with_its_place_and_the_rest_is_kept(number):
    read = stats({"conversion_purchases": {"metric": [number, 4], "sale_amount": [7, number]}})

    assert purchases(read) == [EventFigure(sale_amount=7), EventFigure(count=4)]
    assert [text.split(": ")[:2] for text in read.unreadable] == [
        ["campaign 8u94t", "conversion_purchases.metric"],
        ["campaign 8u94t", "conversion_purchases.sale_amount"],
    ]


def test_day_with_an_absurd_hour_has_no_figure():
    read = stats({"conversion_purchases": [1, -5, 2, 3]}, length=4, lengths=(2, 2))

    assert purchases(read) == [None, EventFigure(count=5)]


def test_spend_that_x_corrects_below_zero_is_kept():
    read = stats({"billed_charge_local_micro": [-5, 3]}, group=FigureGroup.SPEND)

    assert [cells[0].spend_micro for cells in read.cells] == [-5, 3]
    assert read.unreadable == ()
