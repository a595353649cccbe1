"""A listening gateway with its store on disk, in the test's own event loop; nothing is sent on."""

import asyncio
import json
from pathlib import Path

from builders import a_destination, a_source
from fakes import replays_in
from raw_http import HttpResponse, parse_response, request, say
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.consent_choice import RecordConsentChoice
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.ports.queries import ByConversionId
from twite.http import GatewayServices, HttpApplication, HttpLimits, HttpSettings, Server
from twite.machine.system import SystemClock, SystemRandomness
from twite.stores.sqlite import SQLiteStore

KEY = "a-source-key"
PIXEL_TOKEN = "emulator-pixel-token-o8z6j"
LIMITS = HttpLimits(headers_seconds=0.3, body_seconds=0.3, sweep_seconds=0.05)

# The states in which each conversion is counted besides `received`; only nonzero counts.
Counts = dict[str, int]


class InProcessGateway:
    def __init__(self, store: SQLiteStore) -> None:
        clock = SystemClock()
        destinations = {"o8z6j": a_destination()}
        accept = Accept(
            intake=store,
            clock=clock,
            randomness=SystemRandomness(),
            destinations=destinations,
            salt=store.salt,
            wake=lambda _pixel: None,
            privacy=store,
        )
        services = GatewayServices(
            accept=accept,
            queries=store,
            dedup_count=DedupCount(queries=store, clock=clock),
            privacy=store,
            directory=store.people,
            moves=store,
            replays=replays_in(store, clock),
            record_choice=RecordConsentChoice(privacy=store, clock=clock, salt=store.salt),
            clock=clock,
            sources=[a_source()],
            destinations=destinations,
            ready=lambda: None,
            metrics=lambda _accounts: b"",
        )
        collector = HttpApplication(services, HttpSettings(limits=LIMITS))
        self.store = store
        self.server = Server(collector, host="127.0.0.1", port=0, limits=LIMITS)

    @classmethod
    async def opened(cls, folder: Path) -> "InProcessGateway":
        api = cls(await SQLiteStore.open(str(folder / "twite.db")))
        await api.server.start()
        return api

    async def close(self) -> None:
        await self.server.stop()
        await self.store.close()

    async def submit(self, given: object, **headers: str) -> HttpResponse:
        """Post to the native route; a body that is not bytes is encoded as JSON."""
        said = {"Authorization": f"Bearer {KEY}"} | _header_names(headers)
        return await self._post("/v1/conversions", given, said)

    async def submit_as_x(
        self, given: object, *, pixel: str = "o8z6j", **headers: str
    ) -> HttpResponse:
        """Post to X's route."""
        said = {"X-Pixel-Token": PIXEL_TOKEN} | _header_names(headers)
        return await self._post(f"/12/measurement/conversions/{pixel}", given, said)

    async def counts(self) -> Counts:
        """Return the store's counts of all sources' conversions; {} if there are none."""
        found: Counts = {}
        for account in await self.store.balance():
            for name in (*account.__struct_fields__[2:], "balance"):
                count = getattr(account, name)
                if count:
                    found[name] = found.get(name, 0) + count
        return found

    async def sent_of(self, conversion_id: str, *, events: tuple[str, ...] = ("o8z6k",)) -> dict:
        """Return the body for X of a conversion."""
        [history] = await self.store.find(
            ByConversionId(pixel="o8z6j", events=events, conversion_id=conversion_id)
        )
        return json.loads(history.sent)

    async def _post(self, path: str, given: object, headers: dict[str, str]) -> HttpResponse:
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        return parse_response(await say(self.server.port, request("POST", path, body, headers)))


def _header_names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def left_in_the_middle(api: InProcessGateway, sent: bytes) -> None:
    """Send a part of a request and hang up."""
    _, writer = await asyncio.open_connection("127.0.0.1", api.server.port)
    writer.write(sent)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
