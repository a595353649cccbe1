"""A gateway for the examples of recipes, which receive an order with a coupon."""

from builders import NOW, a_destination, a_source
from fakes import MovingClock, SeededRandomness, replays_in
from raw_http import parse_response, say
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.ports.queries import ByConversionId
from twite.http import GatewayServices, HttpApplication, Server
from twite.http.route_table import ROUTES

ORDER = b'{"order": "order-1", "total": "49.90", "mail": "shopper@example.com"}'


async def served(store, *requests, rows=(), webhooks=()):
    """Return the answers of a gateway with these rows and webhooks."""
    destinations = {"o8z6j": a_destination("o8z6j")}
    accept = Accept(
        intake=store,
        clock=MovingClock(NOW),
        randomness=SeededRandomness(),
        destinations=destinations,
        salt=b"salt",
        wake=lambda _pixel: None,
    )
    services = GatewayServices(
        accept=accept,
        queries=store,
        dedup_count=DedupCount(queries=store, clock=MovingClock(NOW)),
        privacy=store,
        directory=store.people,
        moves=store,
        replays=replays_in(store, MovingClock(NOW)),
        record_choice=RecordConsentChoice(privacy=store, clock=MovingClock(NOW), salt=b"salt"),
        clock=MovingClock(NOW),
        sources=[a_source()],
        webhooks=webhooks,
        destinations=destinations,
        ready=lambda: None,
        metrics=lambda _accounts: b"",
    )
    server = Server(HttpApplication(services, routes=(*ROUTES, *rows)), host="127.0.0.1", port=0)
    await server.start()
    answers = [parse_response(await say(server.port, sent)) for sent in requests]
    await server.stop()
    return answers


async def sent_of(store):
    (history,) = await store.find(
        ByConversionId(pixel="o8z6j", events=["o8z6k"], conversion_id="order-1")
    )
    return history.sent
