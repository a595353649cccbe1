"""One notice of each kind, so that every metric has a series."""

from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.pause import Cause, Pause
from twite.domain.stats.backlog import Forecast
from twite.domain.stats.tally import Counted, Counting
from twite.domain.webhook_delivery import DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.events import (
    Accepted,
    Alerted,
    Attempted,
    ContainerCalled,
    FirstTurnEnded,
    IgnoredSome,
    Judged,
    Misdated,
    MonitorChecked,
    Moved,
    Paused,
    Presented,
    ProblemSeen,
    Reloaded,
    ReloadResult,
    ResultsChecked,
    ResultsFailed,
    TagFired,
    TagPassed,
    TagSaid,
    TurnedAway,
    ValueRulesApplied,
    WebhookAnswered,
    WebhookTried,
)
from twite.gateway.ports.machine import DiskSpace

PIXEL = "o8z6j"
ALERT = Alert(
    id="a", kind=AlertKind.PIXEL_PAUSED, subject=PIXEL, reason="404", opened_at=1, reported_at=1
)
EVERY_NOTICE = (
    Reloaded(result=ReloadResult.RELOADED),
    ResultsFailed(account="18ce54d4x5t"),
    ResultsChecked(account="18ce54d4x5t", fetched_at=1_000, days_behind=1),
    Accepted(
        source="shop",
        accepted=1,
        duplicates=1,
        suppressed=1,
        rejected=1,
        endpoint="beacon",
        codes={"event_unknown": 1},
    ),
    TagFired(tag="tag:crm", source="shop", verdict="accepted"),
    TagPassed(tag="tag:crm", source="shop", reason="consent", times=1),
    FirstTurnEnded(tag="tag:crm", result="in_time"),
    ContainerCalled(tag="tag:crm", result="accepted"),
    TagSaid(tag="tag:crm", text="hello"),
    TurnedAway(source="shop", endpoint="beacon", code="not_json"),
    IgnoredSome(source="shop", endpoint="ga4", reasons={"unnamed": 1}),
    WebhookAnswered(
        delivery=WebhookDelivery(
            id="1",
            webhook="orders",
            at=0,
            message="customers/data_request",
            verdict=DeliveryVerdict.IGNORED,
            reason="privacy_request",
        )
    ),
    Judged(source="shop", verdicts={("suppress", "storage"): 1}),
    ValueRulesApplied(source="shop", results={("profit", "changed"): 1}),
    Attempted(
        pixel=PIXEL,
        event="o8z6k",
        outcome="errored",
        status=503,
        conversions=2,
        took=7,
        ambiguous=True,
        isolating=True,
        again=1,
    ),
    Moved(pixel=PIXEL, trigger="delivered", deliveries=1, waited={5: 1}),
    Paused(pause=Pause(since=1, pixel=PIXEL, cause=Cause.PIXEL_REFUSED, reason="404")),
    Paused(
        pause=Pause(since=1, pixel=PIXEL, event="o8z6k", cause=Cause.EVENT_REFUSED, reason="400")
    ),
    Presented(pixel=PIXEL, credential="oauth", taken=True, turned=True),
    Misdated(offset=7_000),
    ProblemSeen(where="sweep", reason="full"),
    Alerted(alert=ALERT, phase=AlertPhase.OPENED),
    WebhookTried(kind=AlertKind.PIXEL_PAUSED, phase=AlertPhase.OPENED),
    MonitorChecked(
        at=2,
        forecasts=(Forecast(pixel=PIXEL),),
        space=DiskSpace(free=1, files={"database": 1}),
    ),
)
# The notices of the store's commits, with their labels.
EVERY_COUNT = tuple(
    Counted(source="shop", pixel=PIXEL, counting=what, word=word, times=1)
    for what, word in (
        (Counting.KIT, "63"),
        (Counting.FLAW, "phone_unusable"),
        (Counting.FLAGGED, "outlier"),
        (Counting.HELD, "minor_units"),
    )
)
