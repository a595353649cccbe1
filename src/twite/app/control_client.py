"""Commands to the running gateway of this machine, through its control channel."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from twite.config.settings import Settings
from twite.domain.errors import LedgerUnavailable, StoreInUse
from twite.domain.people.users import AuditEvent, Change, Result
from twite.domain.replay_batch import PART, ReplayBatch
from twite.domain.secret import Secret
from twite.formats.native.answers import ErrorBody
from twite.gateway.operations.control import (
    PATH,
    ControlCommand,
    ControlResult,
    PositionChoice,
    ReloadReport,
    SyncReport,
)
from twite.gateway.operations.replays import NewReplay
from twite.gateway.ports.outbox import Discard, MoveResult
from twite.gateway.ports.privacy import EraseStore
from twite.machine.private_file import replace_file

if TYPE_CHECKING:
    import aiohttp

_PATIENCE: Final = 60  # seconds
_IN_ONE_REQUEST: Final = 10_000
_PARTS_IN_ONE_REQUEST: Final = _IN_ONE_REQUEST // PART
_OK: Final = 200
ResultT = TypeVar("ResultT")


class Reachable(msgspec.Struct, frozen=True, kw_only=True):
    """The address file of a running gateway."""

    pid: int
    url: str
    token: str

    def __repr__(self) -> str:
        return f"Reachable(pid={self.pid}, url={self.url!r}, token=***)"


def leave_address(file: Path, *, url: str, token: Secret) -> None:
    """Write the address file, so that this user's commands can reach this process.

    If the folder is not writable, as in a container, the gateway runs without the file.
    """
    address = Reachable(pid=os.getpid(), url=url, token=token.reveal())
    with suppress(OSError):
        replace_file(file, msgspec.json.encode(address))


def remove_address(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def reachable(file: Path) -> Reachable | None:
    """Read the address file; None if it is missing or cannot be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Reachable)
    except (OSError, msgspec.DecodeError, UnicodeError):
        return None


def running(file: Path) -> Reachable | None:
    """Read the address file if its process is alive: a killed gateway leaves its file behind."""
    found = reachable(file)
    if found is None:
        return None
    try:
        os.kill(found.pid, 0)  # signal 0 checks the process, and sends nothing
    except ProcessLookupError:
        return None
    except OSError:
        return found  # another user's process
    return found


@asynccontextmanager
async def owner_of(settings: Settings, in_use: StoreInUse) -> AsyncIterator["GatewayClient"]:
    """Return a client for the gateway that owns the store.

    Raises `in_use` if there is no address file.
    """
    found = reachable(settings.store.gateway_file)
    if found is None:
        raise in_use
    async with client_of(found) as client:
        yield client


@asynccontextmanager
async def client_of(reachable: Reachable) -> AsyncIterator["GatewayClient"]:
    import aiohttp  # noqa: PLC0415  # needed only by clients, not by the gateway

    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield GatewayClient(http, reachable)


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator["GatewayClient"]:
    """Return a client for the running gateway of this machine. Raises LedgerUnavailable."""
    found = running(settings.store.gateway_file)
    if found is None:
        raise LedgerUnavailable(
            reason=f"no gateway is running on {settings.store.shown}. Start it with twite serve. "
            "If store.url has changed, restart the gateway",
            retry_after=1,
        )
    async with client_of(found) as client:
        yield client


async def reload_gateway(settings: Settings, *, dry_run: bool) -> ReloadReport:
    """Make the running gateway of this machine reload its settings. Raises LedgerUnavailable."""
    async with running_gateway(settings) as client:
        return await client.reload(dry_run=dry_run)


class GatewayClient:
    """A client for the control channel of this machine's gateway.

    Times are by the gateway's clock. Every method raises LedgerUnavailable if the gateway refuses
    or does not answer.
    """

    def __init__(self, http: "aiohttp.ClientSession", reachable: Reachable) -> None:
        self._http = http
        self._url = reachable.url
        self._token = Secret(reachable.token)

    async def discard(self, discard: Discard, *, audit_event: AuditEvent) -> MoveResult:
        """Discard deliveries, in several requests: only the first contains the audit event."""
        done = 0
        refused: dict[int, str] = {}
        for begin in range(0, len(discard.deliveries), _IN_ONE_REQUEST):
            some = tuple(discard.deliveries[begin : begin + _IN_ONE_REQUEST])
            noted = None if begin else audit_event
            result = await self._ask(
                ControlCommand(do="discard", deliveries=some, note=discard.note, audit_event=noted)
            )
            done, refused = done + result.done, refused | result.refused
        return MoveResult(moved=done, refused=refused)

    async def start_replay(self, replay: NewReplay) -> None:
        """Start a replay, in several requests: it begins with the last one."""
        parts = tuple(replay.parts)
        while len(parts) > _PARTS_IN_ONE_REQUEST:
            some, parts = parts[:_PARTS_IN_ONE_REQUEST], parts[_PARTS_IN_ONE_REQUEST:]
            await self._ask(ControlCommand(do="replay", parts=some))
        await self._ask(
            ControlCommand(
                do="replay", parts=parts, batch=replay.batch, audit_event=replay.audit_event
            )
        )

    async def cancel_replay(self, batch: ReplayBatch, *, audit_event: AuditEvent) -> int:
        """Cancel a replay; return the number of deliveries that it took back."""
        command = ControlCommand(do="cancel_replay", name=batch.id, audit_event=audit_event)
        return (await self._ask(command)).done

    async def keep(
        self, name: str, sealed: bytes, *, audit_event: AuditEvent | None = None
    ) -> None:
        """Put a sealed secret into the vault."""
        await self._ask(
            ControlCommand(do="keep", name=name, sealed=sealed, audit_event=audit_event)
        )

    async def forget(self, name: str, *, audit_event: AuditEvent | None = None) -> None:
        """Delete a secret from the vault."""
        await self._ask(ControlCommand(do="forget", name=name, audit_event=audit_event))

    async def reseal(self, *, audit_event: AuditEvent | None = None) -> int:
        """Make the gateway reseal all secrets with the current key."""
        return (await self._ask(ControlCommand(do="reseal", audit_event=audit_event))).done

    async def reseal_payloads(self) -> int:
        """Make the gateway reseal queued tag payloads."""
        resealed, last = 0, 0
        while True:
            some = await self._ask(ControlCommand(do="reseal_payloads", after=last))
            resealed += some.done
            if some.last is None:
                return resealed
            last = some.last

    async def erase(self, erase: EraseStore, *, now: int) -> int:
        del now
        return (await self._ask(ControlCommand(do="erase", erasing=erase))).done

    async def change(
        self, change: Change, *, audit_event: AuditEvent, session_digest: bytes = b""
    ) -> Result:
        """Change users or API keys."""
        del session_digest  # commands have no session
        result = (await self._ask(ControlCommand.changing(change, audit_event=audit_event))).result
        if result is None:
            raise self._refused("did not report a result")
        return result

    async def note(self, audit_event: AuditEvent) -> None:
        await self._ask(ControlCommand(do="note", audit_event=audit_event))

    async def reload(self, *, dry_run: bool) -> ReloadReport:
        """Make the gateway reload its settings; in a dry run, only compare them."""
        report = (await self._ask(ControlCommand(do="reload", dry_run=dry_run))).reload
        if report is None:
            raise self._refused("did not report a result")
        return report

    async def sync(self, name: str, position: PositionChoice | None = None) -> SyncReport:
        """Make the gateway run a sync, or a part of it."""
        command = ControlCommand(do="sync", name=name, position=position)
        report = (await self._ask(command)).sync
        if report is None:
            raise self._refused("did not report a result")
        return report

    async def _ask(self, command: ControlCommand) -> ControlResult:
        return await self.post(PATH, command, ControlResult)

    async def post(self, path: str, command: msgspec.Struct, result: type[ResultT]) -> ResultT:
        """Send a command to a path of the control channel, and return its result."""
        import aiohttp  # noqa: PLC0415  # see above

        headers = {
            "Authorization": f"Bearer {self._token.reveal()}",
            "Content-Type": "application/json",
        }
        try:
            async with self._http.post(
                f"{self._url}{path}",
                data=msgspec.json.encode(command),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
                if answer.status != _OK:
                    raise self._refused(_answered(answer.status, body))
                return msgspec.json.decode(body, type=result)
        except (aiohttp.ClientError, OSError) as failure:
            raise self._refused(f"cannot be reached ({type(failure).__name__})") from None
        except msgspec.DecodeError:
            raise self._refused("sent an unreadable response") from None

    def _refused(self, what: str) -> LedgerUnavailable:
        return LedgerUnavailable(
            reason=f"the gateway at {self._url} owns the store and {what}. "
            "Check the gateway's log, or stop the gateway and try again",
            retry_after=1,
        )


def _answered(status: int, body: bytes) -> str:
    """Describe the gateway's refusal, with the reason if the vault refused."""
    try:
        errors = msgspec.json.decode(body, type=ErrorBody).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        errors = ()
    why = [error.message for error in errors[:1] if error.code == "secret_key_missing"]
    return f"answered {status}" + (f": {why[0]}" if why else "")
