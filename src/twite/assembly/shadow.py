"""A container, run for captured traffic; nothing that it asks for is performed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from twite.assembly.containers import load_container, sealed_secrets, secret_reader
from twite.assembly.desk import open_records
from twite.assembly.logins import Looking
from twite.assembly.sealing import seal_of
from twite.assembly.settings import Settings, load
from twite.assembly.shadow_doors import Doors, reads_of
from twite.assembly.tags import engine_of
from twite.domain.errors import Malformed, SettingsError
from twite.gateway.tags.at_the_door import asked_at_the_door
from twite.gateway.tags.crew import Engines
from twite.gateway.tags.known import Awaited, Known, call_of, returned
from twite.gateway.tags.reading import kept, readable
from twite.gateway.tags.rule import Persons
from twite.gateway.tags.storage import Storage
from twite.gateway.vault import Strongroom
from twite.redaction.scrub_event import scrubbed_event
from twite.sgtm import sandbox
from twite.sgtm.container.parts import Container, Tag
from twite.sgtm.container.plan import Bar, Fired, Plan, client_name, only, plan
from twite.sgtm.container.secrets import opened
from twite.sgtm.container.texts import Value
from twite.sgtm.container.values import Occasion
from twite.sgtm.effects import Request
from twite.sgtm.sandbox import Answer, Call, Outcome, Turn
from twite.sgtm.shadow.captured import CaptureUnusable, Case, Sent, read_cases
from twite.sgtm.shadow.comparing import STAND_IN, Asked, Compared, compared
from twite.sgtm.shadow.summing import Shown
from twite.sgtm.template import Template
from twite.sgtm.tree import Tree

_MOST_TURNS: Final = 100
_SEED: Final = 1  # the same capture gives the same result


def read_capture(path: Path) -> tuple[Case, ...]:
    """Read a capture. Raises SettingsError with file and line."""
    try:
        with path.open("rb") as file:
            return read_cases(file)
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise SettingsError(place=str(path), message=message) from None
    except CaptureUnusable as error:
        raise SettingsError(place=f"{path}, line {error.line}", message=error.message) from None


async def shadow_of(
    config: Path, named: Path | None, environ: Mapping[str, str], *, source: str | None = None
) -> tuple["Shadow", int]:
    """Return what runs the container, and how many of its secrets are not here.

    `named` is its file, where it is not the settings' own; `source` whose all requests are, where
    their pages' origins do not say. Raises SettingsError.
    """
    settings = _settings(config, environ, needed=named is None)
    path = named or (settings.container if settings is not None else None)
    if path is None:
        raise SettingsError(
            place="container.file",
            message="no container is configured. Name it there, or with --container",
        )
    container = load_container(path)
    sealed = {} if settings is None else await sealed_of(settings)
    lacking = set()

    def secret_at(kept: str) -> str:
        try:
            return secret_reader(path, environ, sealed)(kept)
        except SettingsError:
            lacking.add(kept)
            return STAND_IN

    persons = Persons.HASHED
    if settings is not None and settings.imported is not None:
        persons = settings.imported.rule.persons
    shadow = Shadow(
        opened(container, secret_at),
        hashed=persons is Persons.HASHED,
        doors=_doors(settings, source),
    )
    return shadow, len(lacking)


def _doors(settings: Settings | None, source: str | None) -> Doors:
    sources = () if settings is None else settings.submitters
    if source is not None and source not in {one.name for one in sources}:
        there = ", ".join(one.name for one in sources) or "none"
        raise SettingsError(place="--source", message=f"no source {source!r}. There is: {there}")
    rule = None if settings is None or settings.imported is None else settings.imported.rule
    return Doors(
        [one for one in sources if rule is None or rule.hears(one.name)],
        {} if settings is None else {one.pixel: one for one in settings.pixels},
        named=next((one for one in sources if one.name == source), None),
    )


def _settings(config: Path, environ: Mapping[str, str], *, needed: bool) -> Settings | None:
    if not needed and not config.exists():
        return None
    return load(config, environ, credentials=False)


async def sealed_of(settings: Settings) -> Mapping[str, str]:
    """Return the container's secrets in the store; none without a key. Raises NotOpened."""
    key = settings.server.secret_key
    seal = seal_of(key or None, settings.server.former_secret_keys)
    if seal is None or not settings.store.path.exists():
        return {}
    async with open_records(settings) as records:
        return await sealed_secrets(Strongroom(vault=Looking(records), seal=seal))


class Shadow:
    """Runs a container for cases. Each template has one engine; nothing is performed.

    With `hashed`, tags see events and requests as those of a gateway do that keeps no person; what
    its `doors` keep back, they do not see.
    """

    def __init__(self, container: Container, *, hashed: bool, doors: Doors) -> None:
        self._container = container
        self._doors = doors
        self._hashed = hashed
        self._engines = Engines(lambda template, _begun: engine_of(template))
        self._about = sandbox.Container(container_id=container.public_id, version=container.version)

    def tags(self) -> tuple[str, ...]:
        """Return the names of the container's tags."""
        return tuple(one.name for one in self._container.tags)

    def compare(self, case: Case, *, ignore: Sequence[str], tags: frozenset[str]) -> Shown:
        """Return what the case brought; `tags` are the ones that run, all where it is empty."""
        asked: list[Asked] = []
        failed: list[tuple[str, str]] = []
        kept_back: list[str] = []
        try:
            events = self._doors.entered(case)
        except Malformed as error:
            return Shown(line=case.line, unread=error.message)
        reads = reads_of(case.request)
        client = "" if reads is None else client_name(self._container, reads)
        for entered in events:
            occasion = Occasion(
                event=entered.event,
                now=case.now,
                request=case.request,
                consent=entered.granted,
                client=case.client or client,
                # Another number than the old system drew; one for an event, as in a gateway.
                draw=case.line,
            )
            at_the_door = _AtTheDoor(self._engines, self._about)
            planned = plan(self._container, occasion, variables=at_the_door, filled=False)
            wanted = [one.tag for one in planned.fired if not tags or one.tag.name in tags]
            if entered.kept_back is not None:
                # What nobody sends, there or here, is no difference.
                kept_back += [entered.kept_back] if wanted or case.sent else []
                continue
            failed += [
                (one.tag, one.why)
                for one in planned.passed
                if one.bar is Bar.UNFILLED and (not tags or one.tag in tags)
            ]
            for tag in wanted:
                self._refilled(tag, occasion, case.sent, asked, failed, region=entered.region)
        nothing_left = bool(events) and all(one.kept_back is not None for one in events)
        return Shown(
            line=case.line,
            compared=Compared() if nothing_left else compared(asked, case.sent, ignore),
            failed=tuple(failed),
            kept_back=tuple(kept_back),
        )

    def asked_by(self, tag: Tag, occasion: Occasion) -> tuple[Request, ...]:
        """Return the requests of a tag that hears an event, whatever its triggers say."""
        asked: list[Asked] = []
        self._refilled(tag, occasion, (), asked, [], region=None)
        return tuple(one.request for one in asked)

    def _refilled(
        self,
        tag: Tag,
        occasion: Occasion,
        sent: Sequence[Sent],
        asked: list[Asked],
        failed: list[tuple[str, str]],
        *,
        region: str | None,
    ) -> None:
        """Run a tag that fires, its fields filled in from what is kept of the event."""
        if self._hashed:
            may = readable(self._container, tag)
            event = scrubbed_event(occasion.event, region=region, phones=False)
            occasion = msgspec.structs.replace(
                occasion,
                event=msgspec.convert(event, dict[str, Tree]),
                request=kept(occasion.request, may, hashed=True),
            )
        planned = self._planned(only(self._container, tag.name), occasion, sent, asked)
        for fired in planned.fired:
            self._run(fired, occasion, sent, asked, failed)
        failed += [(one.tag, one.why) for one in planned.passed if one.tag == tag.name]

    def _run(
        self,
        fired: Fired,
        occasion: Occasion,
        sent: Sequence[Sent],
        asked: list[Asked],
        failed: list[tuple[str, str]],
    ) -> Outcome:
        """Run a tag with those beside it; add what it asked for, and how it failed."""
        tag = fired.tag
        if fired.setup is not None:
            outcome = self._run(fired.setup, occasion, sent, asked, failed)
            if tag.setup is not None and tag.setup.needed and outcome is not Outcome.SUCCESS:
                failed.append((tag.name, f"the tag {tag.setup.tag!r} before it did not succeed"))
                return Outcome.FAILURE
        last = self._alone(fired, occasion, sent, asked)
        if last.error is not None:
            failed.append((tag.name, _kind_of(last)))
        succeeded = last.error is None and last.outcome is Outcome.SUCCESS
        needs = tag.teardown is not None and tag.teardown.needed
        if fired.teardown is not None and (succeeded or not needs):
            self._run(fired.teardown, occasion, sent, asked, failed)
        return Outcome.SUCCESS if succeeded else Outcome.FAILURE

    def _alone(
        self, fired: Fired, occasion: Occasion, sent: Sequence[Sent], asked: list[Asked]
    ) -> Turn:
        call = Call(
            fields=dict(fired.fields),
            now=occasion.now,
            seed=_SEED,
            event=fired.event,
            request=occasion.request,
            client=occasion.client,
            container=self._about,
        )
        found: list[Request] = []
        turn = self._engines.of(fired.template).start(call)
        turn = self._to_its_end(fired.template, turn, occasion, sent, found)
        asked += [Asked(tag=fired.tag.name, request=one) for one in found]
        return turn

    def _planned(
        self, container: Container, occasion: Occasion, sent: Sequence[Sent], asked: list[Asked]
    ) -> Plan:
        """Fill in a tag; what variables ask for is no sending, but what was captured of it is."""
        known = Known(container=self._about, storage=Storage())
        while True:
            try:
                return plan(container, occasion, variables=known.on(self._engines))
            except Awaited as awaited:
                found: list[Request] = []
                last = self._to_its_end(awaited.template, awaited.turn, occasion, sent, found)
                known.put(awaited, returned(last))
                name = f"variable {awaited.template.name}"
                captured = {one.url for one in sent}
                asked += [Asked(tag=name, request=one) for one in found if one.url in captured]

    def _to_its_end(
        self,
        template: Template,
        turn: Turn,
        occasion: Occasion,
        sent: Sequence[Sent],
        found: list[Request],
    ) -> Turn:
        """Answer a run as the other system was answered; add what it asked for to `found`."""
        engine = self._engines.of(template)
        outcome, value = turn.outcome, turn.returned
        for _ in range(_MOST_TURNS):
            requests = [one for one in turn.effects if isinstance(one, Request)]
            found += requests
            if turn.done:
                break
            answers = tuple(_answer(one, requests, sent) for one in turn.waiting)
            # With nothing to answer it waits for time to pass.
            now = occasion.now if answers else turn.wake_at or occasion.now
            turn = engine.resume(turn.run, answers, now=now)
            outcome = turn.outcome if outcome is Outcome.SILENT else outcome
            value = turn.returned if value is None else value
        else:
            engine.end(turn.run)
        return msgspec.structs.replace(turn, outcome=outcome, returned=value)


class _AtTheDoor:
    """See gateway.tags.at_the_door, of which nothing else matters here."""

    def __init__(self, engines: Engines, about: sandbox.Container) -> None:
        self._engines = engines
        self._about = about

    def value(self, template: Template, fields: dict[str, Tree], occasion: Occasion) -> Value:
        call = call_of(template, fields, occasion, about=self._about, storage=Storage())
        return returned(asked_at_the_door(self._engines, template, call))


def _kind_of(turn: Turn) -> str:
    """Return what went wrong without what was thrown: that may hold a person."""
    kind = (turn.error or "").partition(":")[0][:60]
    return kind if turn.line is None else f"{kind}, line {turn.line} of its code"


def _answer(waiting: int, requests: Sequence[Request], sent: Sequence[Sent]) -> Answer:
    """Answer as the other system was answered, where a request is the same; else with success."""
    request = next((one for one in requests if one.id == waiting), None)
    if request is None:
        # A service, or the end of the event.
        return Answer(id=waiting, reason="failed", phase="complete")
    same = next((one for one in sent if one.url == request.url), None)
    if same is None:
        return Answer(id=waiting, status=200, body="{}")
    return Answer(id=waiting, status=same.status, body=same.answer)
