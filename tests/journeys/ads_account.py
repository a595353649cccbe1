"""An ads account with two campaigns, its shoppers, and a gateway, on one simulated clock.

The gateway and the emulator are real processes, whose clocks are moved together.
"""

import datetime as dt
import json
import os
import signal
import time
from collections import Counter
from contextlib import contextmanager, suppress
from decimal import Decimal
from http.client import HTTPConnection
from random import Random
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from gateway_processes import Gateway, wait_for
from simulated_clock import VARIABLE, SimulatedProcess, SimulatedTime

from gateway_process import GatewayError

HOUR = 3600
DAY = 24 * HOUR
MICROS = 1_000_000
ACCOUNT = "18ce54d4x5t"
OAUTH = """{ consumer_key = "xvz1evFS4wEEPTGEFPHBog", \
consumer_secret = "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", \
token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", \
token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE" }"""
ZONE = ZoneInfo("Europe/Berlin")
EVENTS = {"purchase": "o8z6k", "sign_up": "o8z6m"}
WORLD = {
    "accounts": [{"id": ACCOUNT, "timezone": "Europe/Berlin"}],
    "campaigns": [
        {"id": "c1", "funding_instrument": "lygyi", "name": "Autumn"},
        {"id": "c2", "funding_instrument": "lygyi", "name": "Winter"},
    ],
    "line_items": [
        {"id": "li1", "campaign": "c1", "primary_web_event_tag": "o8z6k"},
        {"id": "li2", "campaign": "c1", "placements": ["SPOTLIGHT"]},
        {"id": "li3", "campaign": "c2", "primary_web_event_tag": "o8z6m"},
    ],
}
PLACEMENTS = {"li1": "ALL_ON_TWITTER", "li2": "SPOTLIGHT", "li3": "TREND"}

# The spend of a campaign on a day, and what was attributed by event type: number and amount, in
# millionths.
Figures = dict[tuple[str, str], tuple[int, dict[str, tuple[int, int]]]]


class SimulatedGateway(Gateway):
    """A gateway on a simulated clock."""

    popen = SimulatedProcess

    def __init__(self, folder, x, **more):
        super().__init__(folder, x, auth=OAUTH, **more)
        self.time = SimulatedTime(folder / "clock")
        self.environment |= {VARIABLE: str(self.time.path)}

    @contextmanager
    def stopped(self):
        """Stop its process with SIGSTOP, if it runs, and let it continue afterwards."""
        if self.process is None or self.process.poll() is not None:
            yield
            return
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        yield
        self.process.send_signal(signal.SIGCONT)


class AdsAccount:
    """The account at a time, `now`, in epoch seconds. `draw` decides what shoppers do."""

    def __init__(self, x, gateway, *, start):
        self.x = x
        self.gateway = gateway
        self.draw = Random(30)
        self.now = start
        self._shoppers = 0
        # How many conversions were posted, by day and event type.
        self.posted = Counter()
        x.add(**WORLD)
        # The clocks are not moved at the same moment.
        x.switch(oauth_window=10**9)
        self.move(0)

    def move(self, seconds):
        """Move both clocks while the gateway is stopped.

        Otherwise, it could start a wait between the moves that X counts from its new time, and end
        this wait early when its own clock moves.
        """
        self.now += seconds
        with self.gateway.stopped():
            self.x.clock(now=self.now)
            self.gateway.time.ahead = int((self.now - time.time()) * 1_000)

    def pass_time(self, seconds):
        """Move both clocks, and wait until the gateway has fetched what is due, or could not."""
        self.move(seconds)
        wait_for(self._is_fetched, self.gateway.ended)

    def _is_fetched(self):
        account = self.results()
        if account["problem"]:
            return True
        fetched_at = account["fetched_at"]
        return fetched_at is not None and self.now - _epoch(fetched_at) < HOUR

    def pass_until(self, reached, *, seconds=120, steps=200):
        """Move both clocks step by step until a condition holds.

        The gateway may ask nothing in a step, because it waits for a time or for a job.
        """
        for _ in range(steps):
            if reached():
                return
            before = self.asked()
            self.move(seconds)
            with suppress(GatewayError):
                wait_for(lambda before=before: self.asked() > before, seconds=0.5)
        assert shown(self.results()) == truth(self.x)

    def is_equal(self):
        return shown(self.results()) == truth(self.x)

    def asked(self):
        """How many requests for analytics X has answered."""
        return self.x.asked()["requests"]

    def results(self, days=40):
        """What the gateway reports about the account."""
        [account] = self.gateway.get(f"/v1/results?days={days}")[1]["accounts"]
        return account

    def spend(self):
        """Plant the spend of the present day."""
        day = dt.datetime.fromtimestamp(self.now, dt.UTC) + dt.timedelta(hours=2)
        amounts = [
            {
                "line_item": item,
                "day": day.date().isoformat(),
                "micros": self.draw.randrange(1, 900_000_000),
                "placement": placement,
            }
            for item, placement in PLACEMENTS.items()
        ]
        self.x.plant(spend=amounts)

    def sell(self, *, by_pixel=False, count=4):
        """Plant clicks and views of shoppers, and send what they buy; some have seen no ad."""
        for _ in range(count):
            self._shoppers += 1
            self._sell(f"shopper{self._shoppers}", by_pixel=by_pixel)
        if not by_pixel:
            wait_for(lambda: self._delivered() == self.posted.total(), self.gateway.ended)

    def _sell(self, name, *, by_pixel):
        item, placement = self.draw.choice(list(PLACEMENTS.items()))
        seen = self.now - self.draw.randrange(5 * HOUR)
        person = {"twclid": f"2-{name}", "email": f"{name}@mail.internal"}
        touch = {"line_item": item, "placement": placement, "at": seen, **person}
        kind = self.draw.choice(["clicks", "clicks", "views"])
        if self.draw.random() < 0.7:
            self.x.plant(**{kind: [touch]})
        event = self.draw.choice(["purchase", "purchase", "sign_up"])
        sent = {
            "conversion_id": f"order-{name}",
            "value": f"{self.draw.randrange(5, 200)}.{self.draw.randrange(100):02}",
            "currency": "EUR",
        }
        if by_pixel:
            pairs = {"txn_id": EVENTS[event], "event": json.dumps(sent), "twclid": f"2-{name}"}
            _get(self.x.url, f"/1/i/adsct?{urlencode(pairs)}")
            return
        key = self.draw.choice(["twclid", "email"])
        status, _ = self.gateway.post({"event": event, **sent, key: person[key]})
        assert status == 202
        day = dt.datetime.fromtimestamp(self.now, ZONE).date().isoformat()
        self.posted[day, event.upper()] += 1

    def _delivered(self):
        return self.x.counted(ids=False)["received_api"]


def shown(account) -> Figures:
    """The days of a report, without those that have no figures."""
    found = {}
    for day in account["days"]:
        for campaign in day["campaigns"]:
            events = {
                event["event_type"]: (event["attributed"], _micros(event["sale_amount"]))
                for event in campaign["events"]
                if event["attributed"]
            }
            found[day["day"], campaign["campaign"]] = (_micros(campaign["spend"]), events)
    return _with_figures(found)


def truth(x) -> Figures:
    """The emulator's truth, without days that have no figures."""
    found = {}
    for row in x.truth(account=ACCOUNT)["rows"]:
        key = row["day"], row["campaign"]
        spent, events = found.get(key, (0, {}))
        for kind, figures in row["events"].items():
            count, amount = events.get(kind, (0, 0))
            events[kind] = (count + figures["attributed"], amount + figures["sale_amount_micro"])
        found[key] = (spent + row["spend_micro"], events)
    return _with_figures(found)


def delivered(account):
    """How many conversions a report says were delivered, by day and event type."""
    return {
        (day["day"], event["event_type"]): event["delivered"]
        for day in account["days"]
        for event in day["events"]
        if event["delivered"]
    }


def sums_of(part):
    """The spend and attributed conversions of a total or a campaign of a report."""
    events = {
        event["event_type"]: (event["attributed"], _micros(event["sale_amount"]))
        for event in part["events"]
        if event["attributed"]
    }
    return _micros(part["spend"]), events


def added(figures: Figures, *, since="", until="9999", campaign=""):
    """The sums of those of some days (`since <= day < until`), or of one campaign of them."""
    spend, counts, amounts = 0, Counter(), Counter()
    for (day, own), (spent, events) in figures.items():
        if since <= day < until and campaign in ("", own):
            spend += spent
            counts.update({kind: count for kind, (count, _) in events.items()})
            amounts.update({kind: amount for kind, (_, amount) in events.items()})
    return spend, {kind: (count, amounts[kind]) for kind, count in counts.items()}


def _with_figures(figures: Figures) -> Figures:
    return {key: value for key, value in figures.items() if value != (0, {})}


def _micros(amount):
    return int(Decimal(amount or 0) * MICROS)


def _epoch(text):
    return dt.datetime.fromisoformat(text).timestamp()


def _get(url, path):
    connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
    connection.request("GET", path)
    assert connection.getresponse().status == 200
    connection.close()
