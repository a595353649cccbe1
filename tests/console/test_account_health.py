"""The health of accounts: the reasons, the order, and where their numbers lead."""

import pytest

from twite.console.account_health import Health, PixelFigures, health_of, listing_path
from twite.console.visible_alerts import shown_causes
from twite.domain.alert import (
    Acknowledgement,
    Alert,
    AlertKind,
    AlertReplies,
    Mute,
    mute_subject,
)
from twite.domain.stats.tally import FlowCounts
from twite.domain.times import DAY, HOUR, MINUTE

NOW = 1_795_600_000_000
TODAY = "when=today"


def a_pixel(pixel, *, received=0, dead=0, rejected=0, **more):
    delivered = received - dead - rejected
    flow = FlowCounts(
        at=0, received=received, dead=dead, rejected=rejected, delivered=max(0, delivered)
    )
    return PixelFigures(pixel=pixel, flow_today=flow, **more)


def an_alert(kind, subject):
    return Alert(
        id=f"{kind}-{subject}", kind=kind, subject=subject, reason="why", opened_at=0, reported_at=0
    )


def judged(*figures, alerts=(), replies=None, accounts=None):
    causes = shown_causes(
        alerts, replies or AlertReplies(), pixels=[each.pixel for each in figures], now=NOW
    )
    accounts = accounts or {}
    return health_of(
        figures,
        causes,
        now=NOW,
        name_of=lambda pixel: accounts.get(pixel, pixel),
        path_of=lambda name, _: f"/console?account={name}",
        when=TODAY,
    )


@pytest.mark.parametrize(
    ("figures", "health", "reasons"),
    [
        (a_pixel("p"), Health.IDLE, []),
        (a_pixel("p", received=100), Health.OK, []),
        (a_pixel("p", received=1000, dead=9), Health.OK, []),
        (a_pixel("p", received=1000, dead=6, rejected=4), Health.WARNING,
         ["0.6 % refused by X today", "0.4 % rejected today"]),
        (a_pixel("p", received=100, rejected=10), Health.CRITICAL, ["10.0 % rejected today"]),
        (a_pixel("p", received=19, dead=19), Health.OK, []),
        (a_pixel("p", received=1, oldest=NOW - HOUR + 1, pending=1), Health.OK, []),
        (a_pixel("p", oldest=NOW - HOUR, pending=1), Health.WARNING, ["Oldest pending for 1 h"]),
        (a_pixel("p", oldest=NOW - DAY, pending=1), Health.CRITICAL, ["Oldest pending for 1 d"]),
        (a_pixel("p", held=3), Health.WARNING, ["3 held"]),
    ],
)  # fmt: skip
def test_figures_decide_about_the_health_with_reasons(figures, health, reasons):
    [account] = judged(figures)

    said = [
        reason.text.replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{NO-BREAK SPACE}", " ")
        for reason in account.reasons
    ]
    assert (account.health, said) == (health, reasons)


def test_worst_accounts_come_first_and_those_without_traffic_last():
    accounts = judged(
        a_pixel("idle"),
        a_pixel("well", received=100),
        a_pixel("held-more", received=9, held=5),
        a_pixel("held", received=9, held=1),
        a_pixel("late", received=9, held=1, oldest=NOW - 2 * HOUR),
        a_pixel("refused", received=100, dead=50),
        a_pixel("alert", received=9),
        alerts=[
            an_alert(AlertKind.CREDENTIALS_REFUSED, "alert"),
            an_alert(AlertKind.CONVERSIONS_HELD, "alert"),
        ],
    )

    assert [account.name for account in accounts] == [
        "alert", "refused", "late", "held-more", "held", "well", "idle",
    ]  # fmt: skip


def test_older_pending_conversion_comes_first_among_equals():
    accounts = judged(
        a_pixel("younger", received=1, oldest=NOW - MINUTE, pending=1),
        a_pixel("older", received=1, oldest=NOW - 2 * MINUTE, pending=1),
    )

    assert [account.name for account in accounts] == ["older", "younger"]


def test_alerts_of_an_account_with_several_pixels_are_one_reason():
    [account] = judged(
        a_pixel("p1", received=1),
        a_pixel("p2", received=1),
        a_pixel("p3", received=1),
        alerts=[an_alert(AlertKind.CREDENTIALS_REFUSED, pixel) for pixel in ("p1", "p3", "q")],
        accounts=dict.fromkeys(("p1", "p2", "p3"), "acme"),
    )

    [reason] = account.reasons
    assert reason.text == "X refuses the credentials (2 of 3 pixels)"
    assert reason.path == "/console/alerts?account=acme#alert-credentials_refused-p1"
    assert account.health is Health.CRITICAL


@pytest.mark.parametrize(
    "replies",
    [
        AlertReplies.of([Acknowledgement(alert="pixel_paused-p", at=0, who="olga")], []),
        AlertReplies.of(
            [],
            [
                Mute(
                    subject=mute_subject(AlertKind.PIXEL_PAUSED, "p"),
                    until=NOW + 1,
                    at=0,
                    who="olga",
                )
            ],
        ),
    ],
)
def test_replied_alerts_do_not_count(replies):
    alerts = [an_alert(AlertKind.PIXEL_PAUSED, "p")]

    [account] = judged(a_pixel("p", received=1), alerts=alerts, replies=replies)

    assert (account.health, list(account.reasons)) == (Health.OK, [])


def test_numbers_lead_to_the_conversions_of_one_pixel():
    [account] = judged(a_pixel("p", received=100, rejected=30, held=1))

    assert [reason.path for reason in account.reasons] == [
        "/console/conversions?state=rejected&pixel=p&when=today",
        "/console/conversions?state=held&pixel=p",
    ]
    assert account.listing("dead", is_today=True) == (
        "/console/conversions?state=dead&pixel=p&when=today"
    )


def test_numbers_of_several_pixels_lead_to_the_conversions_of_the_account():
    [account] = judged(
        a_pixel("p1", received=100, dead=30),
        a_pixel("p2", received=100),
        accounts={"p1": "acme", "p2": "acme"},
    )

    assert account.flow_today == FlowCounts(at=0, received=200, delivered=170, dead=30)
    assert [reason.path for reason in account.reasons] == [
        "/console/conversions?state=dead&account=acme&when=today"
    ]
    assert account.listing() == "/console/conversions?account=acme"


def test_numbers_of_no_pixel_lead_to_the_rejected_conversions_that_name_none():
    [account] = judged(a_pixel("", received=30, rejected=30))

    assert account.listing("rejected") == "/console/conversions?state=rejected&pixel=-"


def test_path_of_a_list_has_only_the_filters_in_use():
    assert listing_path() == "/console/conversions"
    assert listing_path("held", source="a b") == "/console/conversions?state=held&source=a+b"
