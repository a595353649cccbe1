"""The CPU time that one IP address may use is limited, on a real socket."""

import asyncio
import time

import pytest
from http_stage import StoppedClock
from pages import SHOP, a_stage

from memory_store.store import MemoryStore
from twite.http.address_budget import REQUEST_MS, AddressBudget
from twite.http.responses import HttpResponse
from twite.http.route import FULL_BODY, HttpRequest, Route
from twite.http.routes import tags
from twite.http.routes.beacon import page

RATE = 20
HEADERS = {"Origin": SHOP}


def use_cpu(milliseconds: float) -> None:
    until = time.thread_time() + milliseconds / 1_000
    while time.thread_time() < until:
        pass


async def use_cpu_twice(request: HttpRequest, _visit: object) -> HttpResponse:
    use_cpu(float(request.body or 0))
    await asyncio.sleep(0)
    use_cpu(float(request.body or 0))
    return HttpResponse(status=200, body=b"")


def a_route(path, authenticate):
    return Route(
        path=path,
        methods=("POST",),
        label=path,
        authenticate=authenticate,
        answer=use_cpu_twice,
        body=FULL_BODY,
    )


ROUTES = [
    a_route("/heavy", page),
    a_route("/of-servers", tags.page_or_key),
]


@pytest.fixture
async def stage(staged):
    return await staged(**a_stage(MemoryStore()), routes=ROUTES, browser_rate=RATE)


async def statuses(stage, path, body, times, **said):
    said = {"key": None, "headers": HEADERS} | said
    return [(await stage.ask("POST", path, body, **said)).status for _ in range(times)]


async def test_address_that_uses_too_much_cpu_time_is_refused(stage):
    # Each request uses 60 ms, and the address has 100 ms.
    assert RATE * REQUEST_MS == 100

    answers = await statuses(stage, "/heavy", b"30", 4)

    assert answers == [200, 200, 429, 429]


async def test_refusal_for_cpu_time_says_when_to_retry(stage):
    *_, last = [
        await stage.ask("POST", "/heavy", b"60", key=None, headers=HEADERS) for _ in range(2)
    ]

    assert (last.status, last.faults()) == (429, [("", "too_fast")])
    assert int(last.headers["retry-after"]) >= 1


async def test_concurrent_requests_of_an_address_are_limited_by_cpu_time(stage):
    said = {"key": None, "headers": HEADERS}
    answers = await asyncio.gather(
        *(stage.ask("POST", "/heavy", b"60", **said) for _ in range(RATE))
    )

    assert {answer.status for answer in answers} == {200, 429}
    # Those that were past the check when the budget was used up.
    assert sum(answer.status == 200 for answer in answers) <= RATE // 2


async def test_usual_requests_can_use_the_whole_rate_limit(stage):
    answers = await statuses(stage, "/heavy", b"0", RATE + 1)

    assert answers == [200] * RATE + [429]


async def test_servers_with_a_source_key_have_no_limit_of_cpu_time(stage):
    answers = await statuses(stage, "/of-servers", b"60", 4, key="a-source-key", headers={})

    assert answers == [200] * 4


async def test_cpu_time_of_other_requests_during_a_wait_is_not_counted():
    budget = AddressBudget(rate=1, clock=StoppedClock())  # 5 ms

    async def work() -> str:
        use_cpu(2)
        await asyncio.sleep(0.01)
        return "done"

    async def others() -> None:
        use_cpu(20)

    done, _ = await asyncio.gather(budget.metered(work(), "a"), others())

    assert (done, budget.wait("a")) == ("done", 0)


async def test_cpu_time_of_cancelled_and_failed_requests_is_counted():
    budget = AddressBudget(rate=1, clock=StoppedClock())
    heard = []

    async def work() -> None:
        use_cpu(6)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise

    async def fails() -> None:
        use_cpu(6)
        raise ValueError

    task = asyncio.ensure_future(_run(budget.metered(work(), "a")))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ValueError, match=r"^$"):
        await budget.metered(fails(), "b")

    assert heard == ["cancelled"]
    assert budget.wait("a") > 0
    assert budget.wait("b") > 0


async def _run(work) -> object:
    return await work
