"""The commands of server tags."""

from typing import Final

from twite.cli.command_group import CommandGroup

GROUP: Final = CommandGroup(
    title="Server tags",
    before="Users and API keys",
    summaries={
        "import": "Convert a server container export into configuration",
        "tag": "Inspect, test and run a tag template",
        "compare": "Compare a container's requests with captured ones",
    },
    places={
        "import": "twite.tags.commands.import_container:import_container",
        "tag": "twite.tags.commands.tag.command:tag",
        "compare": "twite.tags.commands.compare:compare",
    },
)
