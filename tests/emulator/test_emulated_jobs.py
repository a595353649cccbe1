"""Jobs: longer periods and segments, computed in the background, as a file."""

import gzip
import json

import pytest
from ads_requests import a_query, an_advertiser, answer_to, ask, at, click, convert, errors, plant
from x_requests import ACCOUNT, ADS, a_conversion, a_request, reply

from twite_emulator.exchange import XRequestReceived

JOBS = f"stats/jobs/accounts/{ACCOUNT}"
DAY = 86_400


def create(judge, **changes):
    return ask(judge, JOBS, method="POST", **a_query(**changes))


def created(judge, **changes):
    status, document = create(judge, **changes)
    assert status == 200, document
    return document["data"]


def poll(judge, *jobs, **pairs):
    ids = ",".join(job["id_str"] for job in jobs) or None
    status, document = ask(judge, JOBS, job_ids=ids, **pairs)
    assert status == 200, document
    return document["data"]


def download(judge, url, **headers):
    """The answer to an unsigned request for a file."""
    path = url.removeprefix(ADS)
    assert path != url
    request = XRequestReceived(method="GET", url=url, path=path, headers=headers)
    return judge.answer(request).answer


def finished(judge, **changes):
    """The job after its end."""
    job = created(judge, **changes)
    judge.shift += 2
    return poll(judge, job)[0]


def content(judge, **changes):
    return json.loads(gzip.decompress(download(judge, finished(judge, **changes)["url"]).body))


def test_new_job_is_processing():
    judge = an_advertiser(now=at("2026-11-22T10:00"))

    job = created(judge, granularity="HOUR")

    assert {name: job[name] for name in ("status", "url", "expires_at", "granularity")} == {
        "status": "PROCESSING",
        "url": None,
        "expires_at": None,
        "granularity": "HOUR",
    }
    assert (job["id_str"], job["created_at"]) == (str(job["id"]), "2026-11-22T10:00:00Z")


def test_finished_job_has_a_file_with_the_synchronous_answer():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    convert(judge)

    found = content(judge, granularity="DAY")

    _, synchronous = ask(judge, f"stats/accounts/{ACCOUNT}", **a_query(granularity="DAY"))
    assert found == synchronous
    assert found["data"][0]["id_data"][0]["metrics"]["conversion_purchases"]["metric"] == [1]


def test_file_contains_what_was_known_when_the_job_ended():
    judge = an_advertiser()
    plant(judge, clicks=[click()])
    job = finished(judge)
    judge.shift += 1
    convert(judge)

    found = json.loads(gzip.decompress(download(judge, job["url"]).body))

    assert found["data"][0]["id_data"][0]["metrics"]["conversion_purchases"] is None


def test_file_needs_no_signature():
    judge = an_advertiser()

    answer = download(judge, finished(judge)["url"])

    assert (answer.status, dict(answer.headers)["content-type"]) == (200, "application/gzip")


def test_file_may_need_a_signature():
    judge = an_advertiser("job_file_access=oauth")
    url = finished(judge)["url"]

    refused = download(judge, url)
    accepted = answer_to(judge, url.removeprefix(f"{ADS}/"), version="")

    assert (refused.status, accepted.status) == (401, 200)


def test_file_may_come_with_a_content_encoding():
    judge = an_advertiser("job_file_encoding=gzip")

    answer = download(judge, finished(judge)["url"])

    assert dict(answer.headers)["content-encoding"] == "gzip"


def test_file_is_missing_before_the_job_ended_and_under_other_names():
    judge = an_advertiser()
    job = created(judge)
    folder = f"{ADS}/advertiser-api-async-analytics/stats_job_"

    early = download(judge, f"{folder}{job['id_str']}.json.gz")
    judge.shift += 2
    other = download(judge, f"{folder}{job['id_str']}.json")

    assert (early.status, other.status) == (404, 404)


def test_job_expires_two_days_after_its_end():
    judge = an_advertiser(now=at("2026-11-22T10:00"))
    job = finished(judge)
    judge.shift += 2 * DAY - 1
    before = download(judge, job["url"]).status
    judge.shift += 1

    after = download(judge, job["url"]).status

    assert (job["expires_at"], before, after) == ("2026-11-24T10:00:02Z", 200, 404)
    assert poll(judge, job)[0]["status"] == "SUCCESS"


def test_expired_job_may_be_gone():
    judge = an_advertiser("expired_job=gone")
    job = finished(judge)
    judge.shift += 2 * DAY

    assert poll(judge, job) == []


def test_job_may_fail():
    judge = an_advertiser("job_outcome=failed")

    job = finished(judge)

    assert (job["status"], job["url"]) == ("FAILED", None)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"start_time": "2026-08-23T00:00:00Z"}, 200),
        ({"start_time": "2026-08-22T23:00:00Z"}, 400),
        ({"start_time": "2026-10-07T00:00:00Z", "segmentation_type": "PLATFORMS"}, 200),
        ({"start_time": "2026-10-06T23:00:00Z", "segmentation_type": "PLATFORMS"}, 400),
    ],
)
def test_job_covers_90_days_or_45_with_segments(changes, status):
    assert create(an_advertiser(), **changes)[0] == status


def test_hundred_jobs_may_be_processing():
    judge = an_advertiser("job_seconds=60")
    jobs = [created(judge) for _ in range(100)]

    refused = create(judge)
    judge.shift += 60
    accepted = create(judge)[0]

    assert errors(refused) == (400, [("TOO_MANY_JOBS", None)])
    assert (accepted, len({job["id_str"] for job in jobs})) == (200, 100)


def test_two_hundred_jobs_can_be_polled_together():
    judge = an_advertiser("job_seconds=0")
    jobs = [created(judge) for _ in range(201)]

    ids = [job["id_str"] for job in jobs]

    assert len(poll(judge, *jobs[:200])) == 200
    assert errors(ask(judge, JOBS, job_ids=",".join(ids)))[0] == 400


def test_jobs_without_ids_are_all_jobs_of_the_account():
    judge = an_advertiser()
    first, second = created(judge), created(judge)

    found = [job["id_str"] for job in poll(judge)]

    assert found == [first["id_str"], second["id_str"]]


def test_ids_of_jobs_are_numbers():
    found = errors(ask(an_advertiser(), JOBS, job_ids="abc"))

    assert found == (400, [("INVALID_PARAMETER", "job_ids")])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"entity_ids": "zzz"}, (404, [("LINE_ITEM_NOT_FOUND", "entity_ids")])),
        ({"placement": None}, (400, [("MISSING_PARAMETER", "placement")])),
        ({"segmentation_type": "COLOR"}, (400, [("INVALID_PARAMETER", "segmentation_type")])),
        ({"segmentation_type": "METROS"}, (400, [("MISSING_PARAMETER", "country")])),
        (
            {"segmentation_type": "CONVERSION_TAGS", "metric_groups": "BILLING"},
            (400, [("INVALID_PARAMETER", "segmentation_type")]),
        ),
    ],
)
def test_invalid_job_is_refused(changes, expected):
    assert errors(create(an_advertiser(), **changes)) == expected


def segments(judge, kind, **changes):
    found = content(judge, segmentation_type=kind, **changes)
    return found["data"][0]["id_data"]


@pytest.mark.parametrize(
    ("shape", "segment"),
    [
        ("name_value", {"segment_name": "add_to_cart", "segment_value": "o8z6p"}),
        ("value", {"segment_value": "o8z6p"}),
        ("id", "o8z6p"),
    ],
)
def test_segments_by_event(shape, segment):
    judge = an_advertiser(f"segment_shape={shape}")
    plant(judge, clicks=[click()])
    convert(judge)
    convert(judge, event_id="o8z6p")

    found = segments(judge, "CONVERSION_TAGS")[1]

    assert (found["segment"], found["metrics"]["conversion_add_to_carts"]["metric"]) == (
        segment,
        [1],
    )


@pytest.mark.parametrize(("choice", "shown"), [("table", None), ("all", [1])])
def test_segments_by_event_may_leave_out_purchases(choice, shown):
    judge = an_advertiser(f"segmented_tags={choice}")
    plant(judge, clicks=[click()])
    convert(judge)

    found = segments(judge, "CONVERSION_TAGS")[0]["metrics"]["conversion_purchases"]

    assert (found and found["metric"]) == shown


def test_segments_do_not_add_up():
    judge = an_advertiser()
    plant(judge, clicks=[click(twclid=f"2-{number}") for number in range(200)])

    found = segments(judge, "PLATFORMS", metric_groups="ENGAGEMENT")

    counts = {entry["segment"]["segment_name"]: entry["metrics"]["clicks"] for entry in found}
    assert len(counts) == 3
    assert 100 < sum(count for (count,) in counts.values()) < 200


def test_conversions_have_no_segments_by_age():
    judge = an_advertiser()
    plant(judge, clicks=[click(twclid=f"2-{number}") for number in range(9)])
    conversions = [
        a_conversion(
            conversion_time="2026-11-20T12:00:00.000Z",
            identifiers=[{"twclid": f"2-{number}"}],
            conversion_id=str(number),
        )
        for number in range(9)
    ]
    assert reply(judge.answer(a_request(*conversions)).answer)[0] == 200

    found = segments(judge, "AGE")

    assert {entry["metrics"]["conversion_purchases"] for entry in found} == {None}
