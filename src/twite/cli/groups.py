"""The commands by group, each with a one-line help text and the place of its function."""

from collections.abc import Iterator, Mapping
from typing import Final

from twite.cli.command_group import CommandGroup
from twite.features import contributed

_OWN: Final[Mapping[str, Mapping[str, str]]] = {
    "Start": {
        "demo": "Run a demo with an X emulator and a small shop",
        "init": "Write a commented twite.toml and an API key",
        "connect": "Switch from the built-in emulator to X",
        "check": "Check settings, credentials, store and gateway",
        "serve": "Run the gateway",
        "emulate": "Run only the X emulator",
    },
    "X account": {
        "login": "Sign in to X for a pixel, or store its pixel token",
        "logout": "Delete the stored credentials of a pixel",
        "events": "Manage X's events, and print code that sends them",
    },
    "Conversions": {
        "send": "Send conversions from files, object storage or a query",
        "sync": "Run a [[sync]], or fetch what a shop has not delivered",
        "export": "Write the state of each conversion where your data team works",
        "webhook": "Try messages of a webhook, without sending conversions",
        "show": "Show the history of a conversion, attempt by attempt",
        "rejected": "List conversions rejected at intake, with the reasons",
        "dead": "List, replay or discard dead letters and held conversions",
        "results": "Show what X attributes to the ads, beside what was delivered",
        "deduplication": "Compare conversion ids sent by X's pixel and the gateway",
        "value": "Try rules for values on files, or on past conversions",
        "what-if": "Show what changed settings would have done in the past",
        "joins": "Show what conversions gained by waiting for identifiers",
    },
    "Operations": {
        "reload": "Make the running gateway use changed settings",
        "accounting": "Show the balance and a forecast of pending conversions",
        "alerts": "List open alerts, or test their webhook",
        "mcp": "Answer questions of an agent, read only (MCP)",
        "erase": "Erase a person from the store",
        "backup": "Copy the store while it is in use",
        "restore": "Replace the store with a backup",
        "recover": "Rebuild a damaged store from its intact rows",
        "store": "Copy the store to another database",
        "rotate-key": "Replace the key that encrypts stored credentials",
    },
    "Users and API keys": {
        "user": "Add, list, change or remove console users",
        "key": "Add, list or revoke API keys; list source keys",
        "audit": "Show the actions of users, and verify the audit log",
    },
}
# Commands whose function has a different place than twite.cli.<name>:<name>.
_PLACES: Final = {
    "logout": "twite.cli.login:logout",
    "user": "twite.cli.users:user",
    "key": "twite.cli.users:key",
    "erase": "twite.cli.erase:erase_persons",
    "backup": "twite.cli.maintenance:backup",
    "restore": "twite.cli.maintenance:restore",
    "recover": "twite.cli.maintenance:recover",
    "rotate-key": "twite.cli.maintenance:rotate_key",
    "reload": "twite.cli.maintenance:reload",
    "send": "twite.cli.send.command:send",
    "sync": "twite.cli.sync.command:sync",
    "results": "twite.cli.results.command:results",
    "export": "twite.cli.export.command:export",
    "dead": "twite.cli.dead.command:dead",
    "demo": "twite.cli.demo.command:demo",
    "emulate": "twite.cli.demo.emulate:emulate",
    "serve": "twite.cli.serve.command:serve",
    "value": "twite.cli.value.command:value",
    "what-if": "twite.cli.what_if.command:what_if",
    "mcp": "twite.cli.mcp.command:mcp",
}
_ADDED: Final = tuple(contributed("commands", CommandGroup))


def _groups() -> Iterator[tuple[str, Mapping[str, str]]]:
    for title, summaries in _OWN.items():
        yield from ((group.title, group.summaries) for group in _ADDED if group.before == title)
        yield title, summaries


GROUPS: Final = dict(_groups())
SUMMARIES: Final = {
    name: summary for summaries in GROUPS.values() for name, summary in summaries.items()
}
PLACES: Final = {
    **{name: f"twite.cli.{name}:{name}" for name in SUMMARIES},
    **_PLACES,
    **{name: place for group in _ADDED for name, place in group.places.items()},
}
