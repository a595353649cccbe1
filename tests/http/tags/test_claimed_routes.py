"""Client templates may claim some routes of the gateway."""

from claiming_clients import CLAIMED, FakeClients, serving
from pages import a_stage
from test_route_table import EVERY, gateway_of, path_of

from memory_store.store import MemoryStore

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9"}
RATE = 20


async def test_client_template_can_claim_the_root(staged):
    gateway = await staged(**serving(FakeClients(CLAIMED)))

    assert (await gateway.ask("GET", "/", key=None, headers=BROWSER)).body == CLAIMED.body


async def test_cpu_time_of_client_templates_is_counted(staged):
    clients = FakeClients(took=0.06)
    stage = await staged(**a_stage(MemoryStore()), **serving(clients), browser_rate=RATE)

    answers = [(await stage.ask("GET", "/elsewhere", key=None)).status for _ in range(4)]

    assert (answers, len(clients.asked)) == ([404, 404, 429, 429], 2)


@EVERY
async def test_client_templates_are_asked_only_about_paths_that_they_can_claim(staged, route):
    clients = FakeClients(CLAIMED)
    stage = await gateway_of(staged, **serving(clients))

    for method in ("GET", "POST", "DELETE"):
        await stage.ask(method, path_of(route))

    assert len(clients.asked) == (3 if route.claimable else 0)
