"""A tag of the export → ours."""

from collections.abc import Callable, Mapping

import msgspec

from twite.sgtm.container.parts import ALL_EVENTS, Beside, Firing, Tag, Trigger
from twite.sgtm.container.references import names_in
from twite.sgtm.export.coverage import ALL_EVENTS_ID, TAGS
from twite.sgtm.export.lines import LeftOut
from twite.sgtm.export.parameters import is_set, value, values
from twite.sgtm.export.reading import Piece, spelled
from twite.sgtm.export.simple_parts import known_or_left_out, priority
from twite.sgtm.template import Kind


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """What a tag can speak of. Triggers are known by id; those left out have their names."""

    variables: frozenset[str]
    triggers: Mapping[str, Trigger]
    missing_triggers: Mapping[str, str]
    template_of: Callable[[str, Kind], str]


def read_tag(piece: Piece, name: str, here: Here) -> tuple[Tag, list[str]]:
    """Return the tag, and notes on what differs. Raises LeftOut."""
    known_or_left_out(TAGS, piece.word)
    template = here.template_of(piece.word, Kind.TAG)
    fields = values(piece.pieces("parameter"))
    for needed in names_in(dict(fields)):
        if needed not in here.variables:
            raise LeftOut(f"it needs the variable {needed!r}, which is not here")
    notes: list[str] = []
    triggers = _triggers(piece, "firingTriggerId", here, notes)
    firing, differs = _firing(piece)
    notes += differs
    paused = is_set(piece.tree.get("paused"))
    if any(piece.tree.get(key) for key in ("scheduleStartMs", "scheduleEndMs")):
        paused = True
        notes.append("it was to fire in a span of time, which is not kept: decide, and unpause it")
    tag = Tag(
        name=name,
        template=template,
        triggers=triggers,
        unless=_exceptions(piece, here),
        fields=fields,
        defaults=False,
        firing=firing,
        priority=priority(piece),
        paused=paused,
        setup=_beside(piece, "setupTag", "stopOnSetupFailure"),
        teardown=_beside(piece, "teardownTag", "stopTeardownOnFailure"),
        consent=_consent(piece),
    )
    return tag, notes


def _triggers(piece: Piece, key: str, here: Here, notes: list[str]) -> tuple[str, ...]:
    names, missing = [], []
    for id_ in piece.texts(key):
        if id_ == ALL_EVENTS_ID:
            names.append(ALL_EVENTS)
        elif id_ in here.triggers:
            names.append(here.triggers[id_].name)
        else:
            missing.append(here.missing_triggers.get(id_, id_))
    if missing and not names:
        raise LeftOut(f"its trigger {missing[0]!r} is left out")
    notes += [f"it does not fire on the trigger {one!r}, which is left out" for one in missing]
    return tuple(names)


def _exceptions(piece: Piece, here: Here) -> tuple[str, ...]:
    names = []
    for id_ in piece.texts("blockingTriggerId"):
        if id_ == ALL_EVENTS_ID:
            names.append(ALL_EVENTS)
        elif id_ in here.triggers:
            names.append(here.triggers[id_].name)
        else:
            missing = here.missing_triggers.get(id_, id_)
            # Without it the tag would fire where it must not.
            raise LeftOut(f"its exception {missing!r} is left out, and it would fire there")
    return tuple(names)


def _firing(piece: Piece) -> tuple[Firing, list[str]]:
    word = spelled(piece.text("tagFiringOption"))
    if word == "UNLIMITED":
        return Firing.EACH_TRIGGER, []
    if word in {"", "ONCE_PER_EVENT", "TAG_FIRING_OPTION_UNSPECIFIED"}:
        return Firing.ONCE, []
    if word == "ONCE_PER_LOAD":
        return Firing.ONCE, ["once per page load is once per event here: a server has no pages"]
    raise LeftOut(f"its firing option {word!r} is not known to Twite")


def _beside(piece: Piece, key: str, needed: str) -> Beside | None:
    found = piece.pieces(key)
    if not found:
        return None
    if len(found) > 1:
        raise LeftOut(f"it has more than one {key}")
    name = found[0].text("tagName")
    return Beside(tag=name, needed=is_set(found[0].tree.get(needed)))


def _consent(piece: Piece) -> tuple[str, ...]:
    settings = piece.tree.get("consentSettings")
    if not isinstance(settings, dict):
        return ()
    status = spelled(str(settings.get("consentStatus", "")))
    if status in {"", "NOT_SET", "NOT_NEEDED"}:
        return ()
    if status != "NEEDED":
        raise LeftOut(f"its consent status {status!r} is not known to Twite")
    held = settings.get("consentType")
    place = f"{piece.place}.consentSettings.consentType"
    wanted = value(Piece(place=place, tree=held)) if isinstance(held, dict) else []
    listed = wanted if isinstance(wanted, list) else []
    names = [one for one in listed if isinstance(one, str) and one]
    if not names:
        raise LeftOut("it needs consent, and does not say to what")
    return tuple(names)
