"""Trial: kill or stop a gateway again and again under load, then compare with X's counts.

    python -m ends --ends 20
    python -m ends --ends 200 --least 250000 --folder /var/lib/twite-trial
    python -m ends --end stop --ends 20

The trial uses real processes and sockets, and the disk of the folder. The result is that of X's
emulator, because only X knows what it received and counted.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final, Literal

import msgspec

from gateway_process import BalanceWatch, GatewayError, GatewayProcess
from load_shop import LoadShop, PostingStyle
from twite_emulator.process import ReceivedTally, counts_of, running_emulator

End = Literal["kill", "stop"]
_COMMAND: Final = "python -m ends"
_PIXEL: Final = "o8z6j"
_EVENT: Final = "o8z6k"
_KEY: Final = "a-trial-key-a-trial-key-a-trial"
_SWITCHES: Final = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
_LOOKED_AT: Final = 200
_DRAIN_SECONDS: Final = 1_200.0

SETTINGS: Final = f"""
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:twite.db"
[x]
api_url = "{{x}}"
rate = 10000000
timeout = "5s"
batch = 200
[log]
level = "warning"
[[pixel]]
id = "{_PIXEL}"
auth = {{{{ pixel_token = "emulator-pixel-token-{_PIXEL}" }}}}
events = {{{{ purchase = "{_EVENT}" }}}}
[[source]]
name = "shop"
key = "{_KEY}"
pixel = "{_PIXEL}"
"""


class SeenConversions(msgspec.Struct, kw_only=True):
    """What happened to conversions, as seen from outside the gateway.

    `unexplained` are conversions that were resent although every outcome was known.
    """

    acknowledged: Collection[str]
    unanswered: Collection[str]
    tallies: Mapping[str, ReceivedTally]
    balance: Mapping[str, int]
    residues: Sequence[Mapping[str, int]] = ()
    unexplained: Collection[str] = ()
    problems: Sequence[str] = ()
    codes: Collection[int] = (0,)


class EndedRun(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a trial. `broken` describes the broken promises.

    `resent` is how many conversions were sent to X more than once; `longest` is the longest stop,
    in seconds.
    """

    ends: int
    acknowledged: int
    acknowledged_by: Mapping[PostingStyle, int]
    repeated: int
    resent: int
    samples: int
    longest: float
    broken: tuple[str, ...]


def judge(seen: SeenConversions, *, end: End) -> tuple[str, ...]:
    """Return a description of each broken promise."""
    lost = set(seen.acknowledged) - seen.tallies.keys()
    twice = [id_ for id_, many in seen.tallies.items() if many.counted != 1]
    broken: list[tuple[Collection[object], str]] = [
        (seen.problems, "responses were wrong"),
        (seen.residues, "checks of the balance found a value other than 0"),
        (lost, "acknowledged conversions never reached X"),
        (twice, "conversions were not counted exactly once by X"),
        (seen.unexplained, "conversions were resent although X's response was known"),
    ]
    if end == "stop":
        again = [id_ for id_, many in seen.tallies.items() if many.api != 1]
        broken += [
            (
                [str(code) for code in seen.codes if code],
                "processes did not exit with code 0 after SIGTERM",
            ),
            (again, "conversions reached X more than once"),
            (
                set(seen.unanswered) & seen.tallies.keys(),
                "conversions were accepted, but the connection closed before the response",
            ),
        ]
    problems = [
        f"{len(found):,} {words}, as {next(iter(found))}" for found, words in broken if found
    ]
    problems += [
        f"{seen.balance[name]:,} are left over under {name}"
        for name in ("balance", "dead", "held", "pending")
        if seen.balance[name]
    ]
    if seen.balance["delivered"] != len(seen.tallies):
        problems.append(
            f"Twite reports {seen.balance['delivered']:,} as delivered, but X received "
            f"{len(seen.tallies):,}"
        )
    return tuple(problems)


def play(
    folder: Path,
    *,
    ends: int,
    end: End = "kill",
    least: int = 0,
    seed: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> EndedRun:
    """Kill or stop a gateway repeatedly, until `least` conversions are acknowledged; then check.

    The folder holds the settings, the database and the log. Raises GatewayError, EmulatorError.
    """
    randomness = random.Random(seed)
    codes: set[int] = set()
    longest = 0.0
    config = folder / "twite.toml"
    with running_emulator(*_SWITCHES) as x:
        config.write_text(SETTINGS.format(x=x.url))
        gateway = GatewayProcess(config, note=folder / "twite.db.gateway", key=_KEY)
        with gateway:
            with LoadShop(gateway, repeats=end == "kill") as shop, BalanceWatch(gateway) as watch:
                done = 0
                while done < ends or len(shop.acknowledged) < least:
                    time.sleep(randomness.uniform(0.02, 0.7))
                    began = time.monotonic()
                    if end == "kill":
                        gateway.kill()
                    else:
                        codes.add(gateway.stop())
                        longest = max(longest, time.monotonic() - began)
                    done += 1
                    gateway.start()
                    tell(f"{end} {done}: {len(shop.acknowledged):,} acknowledged")
            balance = gateway.drained(seconds=_DRAIN_SECONDS)
            events = counts_of(x, _PIXEL)
            tallies = events[_EVENT].ids if events else {}
            resent = [id_ for id_, many in tallies.items() if many.api > 1]
            unexplained = [
                id_ for id_ in resent[:_LOOKED_AT] if not _explained(gateway, id_, tallies[id_])
            ]
    seen = SeenConversions(
        acknowledged=shop.acknowledged,
        unanswered=shop.unanswered,
        tallies=tallies,
        balance=balance,
        residues=watch.residues,
        unexplained=unexplained,
        problems=shop.problems,
        codes=codes,
    )
    return EndedRun(
        ends=done,
        acknowledged=len(shop.acknowledged),
        acknowledged_by=shop.acknowledged_by,
        repeated=shop.repeated,
        resent=len(resent),
        samples=watch.samples,
        longest=longest,
        broken=judge(seen, end=end),
    )


def printed(ended: EndedRun, *, end: End) -> str:
    """Return the result in one line."""
    words = f"{ended.ends} {'kills' if end == 'kill' else 'restarts'}, "
    words += f"{ended.acknowledged:,} acknowledged, "
    if ended.broken:
        return f"{words}broken: {'; '.join(ended.broken)}"
    words += "0 lost; "
    if end == "kill":
        looked_at = min(ended.resent, _LOOKED_AT)
        words += (
            f"{ended.repeated:,} submitted again and not sent again; {ended.resent:,} resent as "
            f"ambiguous, {looked_at} of them checked: each resend followed an unknown result; "
        )
    else:
        words += (
            "0 sent twice, 0 accepted but cut off before the response; "
            f"the longest stop took {ended.longest:.1f} s; "
        )
    return f"{words}balance 0 at each of {ended.samples} checks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial of the command line; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog=_COMMAND)
    parser.add_argument("--ends", type=int, default=20, help="the number of kills or stops")
    parser.add_argument(
        "--end", choices=["kill", "stop"], default="kill", help="SIGKILL or SIGTERM"
    )
    parser.add_argument(
        "--least", type=int, default=0, help="the minimum number of acknowledged conversions"
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed of the random pauses")
    parser.add_argument("--folder", type=Path, help="an empty folder, on the disk to test")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print a line for each kill or stop"
    )
    given = parser.parse_args(arguments)
    place = nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory()
    with place as folder:
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        if any(where.iterdir()):
            parser.error(f"{where} is not empty: choose an empty folder")
        try:
            ended = play(
                where,
                ends=given.ends,
                end=given.end,
                least=given.least,
                seed=given.seed,
                tell=_print_line if given.verbose else lambda _: None,
            )
        except GatewayError as error:
            _print_line(f"broken: {error}")
            return 1
    _print_line(printed(ended, end=given.end))
    return 1 if ended.broken else 0


def _explained(gateway: GatewayProcess, conversion_id: str, tally: ReceivedTally) -> bool:
    """Return whether each resend followed an attempt with an unknown outcome."""
    _, history = gateway.get(f"/v1/conversions/{_PIXEL}/{conversion_id}")
    attempts = msgspec.convert(history["attempts"], list[dict[str, object]])
    return tally.api <= sum(bool(attempt["ambiguous"]) for attempt in attempts) + 1


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
