"""Import the tags of an export."""

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from twite.tags.container.parts import (
    ALL_EVENTS,
    ContainerTag,
    ContainerTrigger,
    Firing,
    SequencedTag,
)
from twite.tags.importer.coverage import ALL_EVENTS_ID, TAGS, Support
from twite.tags.importer.reading import (
    ExportPart,
    LeftOut,
    is_set,
    refuse_unknown,
    spelled,
    value,
    values,
)
from twite.tags.importer.report import ImportReport, held_back, holds, unread
from twite.tags.importer.simple_parts import known_or_left_out, priority
from twite.tags.template.template import TemplateKind
from twite.tags.template.texts import names_in

_MILLISECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)


class ImportContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag may refer to. `triggers` and `missing_triggers` (omitted: names) are by id."""

    variables: frozenset[str]
    triggers: Mapping[str, ContainerTrigger]
    missing_triggers: Mapping[str, str]
    template_of: Callable[[str, TemplateKind], str]


class ImportedTag(msgspec.Struct, frozen=True, kw_only=True):
    """An imported tag. `notes` tell differences, `held` the reasons why it must not fire yet."""

    tag: ContainerTag
    word: str
    notes: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


def read_tag(part: ExportPart, name: str, context: ImportContext) -> ImportedTag:
    """Return the tag, with notes on differences. Raises LeftOut."""
    known_or_left_out(TAGS, part.word)
    template = context.template_of(part.word, TemplateKind.TAG)
    fields = values(part.pieces("parameter"))
    refuse_unknown(names_in(dict(fields)), context.variables)
    notes = unread("tag", part)
    triggers = _triggers(part, context, notes)
    firing, differs = _firing(part)
    rank, no_rank = priority(part)
    paused = holds(part.tree.get("paused"))
    starts_at, no_start = _moment(part, "scheduleStartMs")
    ends_at, no_end = _moment(part, "scheduleEndMs")
    tag = ContainerTag(
        name=name,
        template=template,
        triggers=triggers,
        unless=_exceptions(part, context),
        fields=fields,
        defaults=False,
        firing=firing,
        priority=rank,
        paused=paused,
        starts_at=starts_at,
        ends_at=ends_at,
        setup=_beside(part, "setupTag", "stopOnSetupFailure"),
        teardown=_beside(part, "teardownTag", "stopTeardownOnFailure"),
        consent=_consent(part),
    )
    notes += [*differs, *no_rank]
    return ImportedTag(
        tag=tag, word=part.word, notes=tuple(notes), held=(*held_back(part), *no_start, *no_end)
    )


def read_tags(
    pieces: Sequence[tuple[str, ExportPart]], context: ImportContext, report: ImportReport
) -> dict[str, ImportedTag]:
    """Return the tags that can run in Twite, by name; report the others."""
    read: dict[str, ImportedTag] = {}
    for name, piece in pieces:
        try:
            read[name] = _renamed(read_tag(piece, name, context), piece.text("name"))
        except LeftOut as why:
            report.left_out("tag", name, piece.word, str(why))
    while True:
        lacking = [name for name, tag in read.items() if _not_here(tag.tag, read)]
        for name in lacking:
            tag = read[name]
            gone = _not_here(tag.tag, read)
            needs = tag.tag.setup if tag.tag.setup in gone else None
            if needs is not None and needs.needed:
                del read[name]
                needed = f"it needs the tag {needs.tag!r}, which is left out"
                report.left_out("tag", name, tag.word, needed)
            else:
                notes = [f"its setup or teardown tag {beside.tag!r} is left out" for beside in gone]
                read[name] = _without_beside(tag, gone, notes)
        if not lacking:
            return read


def reported_tags(
    read: Mapping[str, ImportedTag], missed: Mapping[str, str], report: ImportReport
) -> tuple[ContainerTag, ...]:
    """Report the tags and return them, paused if a user must first review them.

    `missed` maps affected tags to the transformation that was left out.
    """
    # Tags that are the setup or teardown tag of another tag.
    beside = {
        step.tag
        for other in read.values()
        for step in (other.tag.setup, other.tag.teardown)
        if step is not None
    }
    tags = []
    for name, tag in read.items():
        held = list(tag.held)
        if name in missed:
            held.append(
                f"the transformation {missed[name]!r}, which is left out, may apply to "
                "it: review the tag, then unpause it"
            )
        tags.append(msgspec.structs.replace(tag.tag, paused=tag.tag.paused or bool(held)))
        notes = [*tag.notes, *held]
        stopped_by = _stopped_by(tag.tag, read, missed, seen=(name,))
        notes += [
            f"its setup or teardown tag {other.tag!r} is paused, so it does not run with this tag"
            for other in (tag.tag.setup, tag.tag.teardown)
            if other is not None and other.tag != stopped_by and _is_held(read[other.tag], missed)
        ]
        fit = Support.PAUSED if held else Support.RESTS if tag.tag.paused else Support.RUNS
        if fit is Support.RUNS and stopped_by:
            fit = Support.RESTS
            notes.append(
                f"it will not fire until you unpause the tag {stopped_by!r}, which it needs"
            )
        if fit is Support.RUNS and not tag.tag.triggers and name not in beside:
            fit = Support.RESTS
            notes.append("it has no trigger, so it never fires, in Google's container or here")
        report.add("tag", name, tag.word, support=fit, notes=notes)
    return tuple(tags)


def _is_held(imported: ImportedTag, missed: Mapping[str, str]) -> bool:
    return imported.tag.paused or bool(imported.held) or imported.tag.name in missed


def _stopped_by(
    tag: ContainerTag,
    read: Mapping[str, ImportedTag],
    missed: Mapping[str, str],
    *,
    seen: tuple[str, ...],
) -> str:
    """Return the paused tag without which this tag cannot fire; "" if there is none."""
    for beside in (tag.setup, tag.teardown):
        if beside is None or beside.tag in seen:
            continue
        other = read[beside.tag]
        if not _is_held(other, missed):
            stopped_by = _stopped_by(other.tag, read, missed, seen=(*seen, beside.tag))
            if stopped_by:
                return stopped_by
        elif beside.needed and beside is tag.setup:
            return beside.tag
    return ""


def _renamed(imported: ImportedTag, name: str) -> ImportedTag:
    if imported.tag.name == name or not name:
        return imported
    why = f"another tag is also named {name!r}, and other parts may refer to either tag"
    return msgspec.structs.replace(
        imported, held=(*imported.held, f"{why}: review the tag, then unpause it")
    )


def _not_here(tag: ContainerTag, read: Mapping[str, ImportedTag]) -> list[SequencedTag]:
    return [step for step in (tag.setup, tag.teardown) if step is not None and step.tag not in read]


def _without_beside(
    imported: ImportedTag, gone: Sequence[SequencedTag], notes: Sequence[str]
) -> ImportedTag:
    setup, teardown = imported.tag.setup, imported.tag.teardown
    tag = msgspec.structs.replace(
        imported.tag,
        setup=None if setup in gone else setup,
        teardown=None if teardown in gone else teardown,
    )
    return msgspec.structs.replace(imported, tag=tag, notes=(*imported.notes, *notes))


def _triggers(part: ExportPart, context: ImportContext, notes: list[str]) -> tuple[str, ...]:
    names, missing = _named(part, "firingTriggerId", context)
    if missing and not names:
        raise LeftOut(f"its trigger {missing[0]!r} is left out")
    notes += [
        f"the trigger {trigger!r} is left out, so the tag does not fire on it"
        for trigger in missing
    ]
    return names


def _exceptions(part: ExportPart, context: ImportContext) -> tuple[str, ...]:
    names, missing = _named(part, "blockingTriggerId", context)
    if missing:
        # Without the exception, the tag would also fire when it must not.
        raise LeftOut(
            f"its exception {missing[0]!r} is left out, so the tag would also fire where the "
            "exception applies"
        )
    return names


def _named(
    part: ExportPart, key: str, context: ImportContext
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the triggers of a tag, and of those that are left out."""
    names, missing = [], []
    for id_ in part.texts(key):
        if id_ == ALL_EVENTS_ID:
            names.append(ALL_EVENTS)
        elif id_ in context.triggers:
            names.append(context.triggers[id_].name)
        else:
            missing.append(context.missing_triggers.get(id_, id_))
    return tuple(names), tuple(missing)


def _firing(part: ExportPart) -> tuple[Firing, list[str]]:
    word = spelled(part.text("tagFiringOption"))
    if word == "UNLIMITED":
        return Firing.EACH_TRIGGER, []
    if word in {"", "ONCE_PER_EVENT", "TAG_FIRING_OPTION_UNSPECIFIED"}:
        return Firing.ONCE, []
    if word == "ONCE_PER_LOAD":
        return Firing.ONCE, [
            "it fires once per event, not once per page load: a server has no pages"
        ]
    raise LeftOut(f"its firing option {word!r} is not known to Twite")


def _moment(part: ExportPart, key: str) -> tuple[int | None, list[str]]:
    """Return a time in milliseconds, or why the tag is held: the time is invalid."""
    held = part.tree.get(key)
    if not holds(held):
        return None, []
    text = str(held).strip() if isinstance(held, str | int) else ""
    if _MILLISECONDS.fullmatch(text):
        return int(text), []
    return None, [f"its {key} is not a time in milliseconds: review the tag, then unpause it"]


def _beside(part: ExportPart, key: str, needed: str) -> SequencedTag | None:
    found = part.pieces(key)
    if not found:
        return None
    if len(found) > 1:
        raise LeftOut(f"it has more than one {key}")
    name = found[0].text("tagName")
    return SequencedTag(tag=name, needed=is_set(found[0].tree.get(needed)))


def _consent(part: ExportPart) -> tuple[str, ...]:
    settings = part.tree.get("consentSettings")
    if not isinstance(settings, dict):
        if holds(settings):
            raise LeftOut("its consentSettings is not an object")
        return ()
    status = spelled(str(settings.get("consentStatus", "")))
    if status in {"", "NOT_SET", "NOT_NEEDED"}:
        return ()
    if status != "NEEDED":
        raise LeftOut(f"its consent status {status!r} is not known to Twite")
    held = settings.get("consentType")
    place = f"{part.place}.consentSettings.consentType"
    wanted = value(ExportPart(place=place, tree=held)) if isinstance(held, dict) else []
    listed = wanted if isinstance(wanted, list) else []
    names = [name for name in listed if isinstance(name, str) and name]
    if not names or len(names) < len(listed):
        raise LeftOut("it requires consent, but names no consent types")
    return tuple(names)
