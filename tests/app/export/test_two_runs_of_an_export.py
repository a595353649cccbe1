"""Two runs of an export into one prefix: the one that the other overtakes is refused."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from export_stage import HOUR, latest, objects_of, storage_states

from store_contract.actions import dead_lettered
from twite.app.export.object_target import state_path
from twite.domain.errors import ClientError
from twite.gateway.ports.listing import ListedState
from twite.readers.object_storage import ObjectStorage, StorageUnusable


@pytest.fixture
def stage(storage_stage):
    return storage_stage


class Meanwhile:
    """Does something once, before the first request of a run to write an object."""

    def __init__(self, monkeypatch, wanted, action):
        self._loop = asyncio.get_running_loop()
        self._wanted = wanted
        self._action = action
        for name in ("put", "replace"):
            if (method := getattr(ObjectStorage, name, None)) is not None:
                monkeypatch.setattr(ObjectStorage, name, self._after(method))

    def _after(self, method):
        def write(storage, name, *args):
            if self._action is not None and self._wanted in name:
                action, self._action = self._action, None
                asyncio.run_coroutine_threadsafe(action(), self._loop).result()
            return method(storage, name, *args)

        return write


class WithoutConditions(BaseHTTPRequestHandler):
    """An empty bucket of a provider that answers 501 to a condition of a write."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.add("GET")
        self._respond(404, "NoSuchKey")

    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        condition = self.headers["If-Match"] or self.headers["If-None-Match"]
        self.server.seen.add(condition)
        self._respond(501 if condition else 200, "NotImplemented")

    def _respond(self, status, code):
        body = f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


@pytest.fixture
def refusing_server(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), WithoutConditions) as server:
        server.seen = set()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        thread.join()


class Stalled:
    """A store whose first list of conversions is late."""

    def __init__(self, store):
        self._store = store
        self.has_read, self.may_go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def answer(self, query):
        answer = await self._store.answer(query)
        if answer and isinstance(answer, list):
            self.has_read.set()
            await self.may_go_on.wait()
        return answer


async def ended(run):
    try:
        await run
    except ClientError as error:
        assert "Run it again once the other one has ended" in str(error)  # noqa: PT017
        return "refused"
    return "done"


@pytest.mark.parametrize("stalled_at", ["_twite/", "exported_on="])
async def test_stalled_run_leaves_no_old_state(stage, monkeypatch, stalled_at):
    await stage.queue("order-1", "order-2")
    await stage.export()
    stage.clock.jump(HOUR)
    await stage.settle(dead_lettered, status=400)
    store = stage.store
    stage.store = stalled = Stalled(store)
    older = asyncio.create_task(ended(stage.export()))  # it reads "dead"
    await stalled.has_read.wait()
    stage.store = store
    await stage.replay()
    await stage.settle()
    stage.clock.jump(HOUR)

    async def go_on():
        stalled.may_go_on.set()
        await older

    Meanwhile(monkeypatch, stalled_at, go_on)
    ends = [await ended(stage.export()), await older]
    stage.clock.jump(HOUR)
    await stage.export()

    assert storage_states(stage) == {"order-1": "delivered", "order-2": "delivered"}
    assert sorted(ends) == ["done", "refused"]


async def test_run_that_another_one_preceded_writes_no_object(stage, monkeypatch):
    await stage.queue("order-1")

    Meanwhile(monkeypatch, "_twite/", stage.export)
    with pytest.raises(ClientError, match="Run it again once the other one has ended"):
        await stage.export()

    assert len(objects_of(stage)) == 1
    assert len(latest(stage)[1]) == 1


def sending(found):
    return [msgspec.structs.replace(each, state=ListedState.SENDING) for each in found]


async def test_row_of_a_killed_run_is_written_again_after_its_state_returned(stage, monkeypatch):
    await stage.queue("order-1")
    await stage.export()
    stage.clock.jump(1)
    real = ObjectStorage.put

    class Killed(Exception):
        """The process is gone after the object was written."""

    def put(storage, name, content):
        real(storage, name, content)
        if name.endswith(".parquet"):
            raise Killed

    monkeypatch.setattr(ObjectStorage, "put", put)
    with stage.changed(sending), pytest.raises(Killed):
        await stage.export()
    monkeypatch.setattr(ObjectStorage, "put", real)
    stage.clock.jump(1)
    await stage.export()

    assert storage_states(stage) == {"order-1": "queued"}


async def test_write_whose_response_was_lost_is_no_conflict(stage):
    storage = ObjectStorage(stage.target.secret_url.reveal())
    version = storage.replace("state", b"1", None)
    again = storage.replace("state", b"1", None)
    storage.replace("state", b"2", version)
    lost = storage.replace("state", b"2", version)

    assert again == version
    assert storage.read("state").version == lost
    assert storage.read(state_path(stage.store_id)) is None


async def test_storage_without_conditional_writes_is_named(stage, monkeypatch):
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    await stage.queue("order-1")

    with pytest.raises(StorageUnusable, match="refuses conditional writes"):
        await stage.export()

    assert objects_of(stage) == {}


async def test_provider_that_refuses_conditions_gets_no_object(stage, refusing_server):
    await stage.queue("order-1")

    with pytest.raises(StorageUnusable, match="refuses conditional writes") as refused:
        await stage.export()

    assert state_path(stage.store_id) in str(refused.value)
    assert refusing_server.seen == {"GET", "*"}


async def test_provider_that_refuses_if_match_is_named(stage, refusing_server):
    storage = ObjectStorage(stage.target.secret_url.reveal())

    with pytest.raises(StorageUnusable, match="refuses conditional writes"):
        await asyncio.to_thread(storage.replace, "state", b"2", {"e_tag": '"1"'})

    assert refusing_server.seen == {'"1"'}
