"""The messages that commands on this machine exchange with the running gateway."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

import msgspec

from twite.domain.people.users import AuditEvent, Change, Result
from twite.domain.replay_batch import ReplayBatch, ReplayPart
from twite.domain.secret import Secret
from twite.gateway.ports.events import ReloadResult
from twite.gateway.ports.privacy import EraseStore

PATH: Final = "/-/control"
Delivery = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Sealed = Annotated[bytes, msgspec.Meta(max_length=16_384)]


class PositionChoice(StrEnum):
    """What becomes of the position of a sync that reads something else now."""

    KEEP = "keep"
    RESET = "reset"


class ControlCommand(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A command about deliveries, the vault, users, a person's data, or the settings.

    `note` is the reason for discarding. `replay` stores some `parts` of a replay; with its `batch`,
    which comes last, it starts. `cancel_replay` cancels the replay of the id `name`.
    For the vault, `keep` stores `sealed` (base64) under a `name`, `forget` removes it, `reseal`
    reads the key again and seals all secrets with it, and `reseal_payloads` reseals some of the
    queued tag payloads after the delivery `after`. `audit_event` is written to the audit log.
    `erase` is one slice of an erasure. For users and API keys, `change` makes a change, and `note`
    only writes the audit event. Passwords and keys are already hashed. `reload` reads the settings
    again; with `dry_run`, it only compares them. `sync` runs the `[[sync]]` of a `name`, or a part,
    after it has done with its position what `position` says.
    """

    do: Literal[
        "replay",
        "cancel_replay",
        "discard",
        "keep",
        "forget",
        "reseal",
        "reseal_payloads",
        "erase",
        "change",
        "note",
        "reload",
        "sync",
    ]
    deliveries: tuple[Delivery, ...] | None = None
    note: str = ""
    batch: ReplayBatch | None = None
    parts: tuple[ReplayPart, ...] = ()
    name: Name = ""
    sealed: Sealed = b""
    after: Delivery = 0
    audit_event: AuditEvent | None = None
    erasing: EraseStore | None = None
    change: dict[str, Any] | None = None
    dry_run: bool = False
    position: PositionChoice | None = None

    @classmethod
    def changing(cls, change: Change, *, audit_event: AuditEvent) -> Self:
        return cls(
            do="change",
            change=msgspec.to_builtins(change, enc_hook=_revealed),
            audit_event=audit_event,
        )


class ReloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload changed, or would change in a dry run.

    `restart` lists the keys whose new values need a restart; `problems` are the mistakes in the
    settings, or the reasons why the gateway kept the old ones. `processes` is the number of
    processes of this machine that use the new settings.
    """

    result: ReloadResult
    changes: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    processes: int = 1


class SyncReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a `[[sync]]` did. If it is not done, ask for the rest.

    `refused` are some rows that were not accepted: conversion id, verdict, code and message.
    """

    rows: int = 0
    files: int = 0
    verdicts: dict[str, int] = {}
    refused: tuple[dict[str, str], ...] = ()
    error: str = ""
    is_done: bool = True


class SyncSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A `[[sync]]` and its last run, if any. `problem` is why it does not work, or is paused."""

    name: str
    source: str
    at: int | None = None
    rows: int = 0
    verdicts: dict[str, int] = {}
    problem: str = ""


class ExportSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An `[[export]]` and its last run, if any. `problem` is why it failed."""

    name: str
    to: str
    at: int | None = None
    rows: int = 0
    problem: str = ""


class ControlResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The number of changed deliveries or secrets, and why deliveries were not changed.

    `last` is where the next slice continues; None after the last slice. For an erasure see
    gateway.operations. `result` is the result of a change of users or API keys. `reload` is the
    report of a reload, `sync` that of a run of a sync.
    """

    done: int
    refused: dict[int, str] = {}
    last: int | None = None
    result: Result | None = None
    reload: ReloadReport | None = None
    sync: SyncReport | None = None


def changed(command: ControlCommand) -> Change:
    """Return the change of users or API keys. Raises msgspec.ValidationError."""
    return msgspec.convert(command.change, Change, dec_hook=_secret)  # type: ignore[no-any-return] # a union


def _revealed(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError
