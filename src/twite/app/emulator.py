"""Run the X emulator as a process of its own."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from twite.config.values import HostPort
from twite.domain.errors import SettingsError
from twite.emulator.server.serve import serve
from twite.emulator.switches import SwitchError, parsed
from twite.emulator.world import World, WorldError


def emulate(
    *, listen: HostPort, switches: Sequence[str], world: Path | None, ready: Callable[[str], None]
) -> None:
    """Run until SIGINT or SIGTERM. `switches` are texts as in `strict_time=on`.

    `world` names a JSON file of accounts, pixels and credentials to add to the default ones;
    `ready` gets the address. Raises SettingsError, whose place is the option at fault.
    """
    try:
        chosen = parsed(switches)
    except SwitchError as error:
        raise SettingsError(place="--switch", message=str(error)) from None
    known = _known(world)
    try:
        serve(host=listen.host, port=listen.port, switches=chosen, world=known, ready=ready)
    except OSError as error:
        raise SettingsError(
            place="--listen",
            message=f"cannot listen on {listen} ({error.strerror}). Choose another address",
        ) from None


def _known(file: Path | None) -> dict[str, object] | None:
    if file is None:
        return None
    world = World()
    try:
        world.merge(msgspec.json.decode(file.read_bytes(), type=dict[str, object]))
    except (OSError, msgspec.MsgspecError, WorldError) as error:
        raise SettingsError(
            place="--world", message=f"{str(file)!r} cannot be used: {error}"
        ) from None
    built = msgspec.to_builtins(world.document())
    return dict(built)
