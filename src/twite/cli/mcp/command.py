"""`twite mcp`: answer an agent's questions about conversions, read only."""

import asyncio
import sys

from twite.cli.options import DEFAULT_CONFIG, Config, load
from twite.domain.errors import OperatorError


def mcp(*, config: Config = DEFAULT_CONFIG) -> None:
    """A client starts this command, and asks over standard input and output (stdio).

    No tool writes. Personal data and secrets are masked. The gateway may run or not.

    Example: `twite mcp --config /etc/twite/twite.toml`, as the command of an MCP client
    """
    try:
        from twite.cli.mcp.server import serve  # noqa: PLC0415  # an optional extra
    except ModuleNotFoundError as missing:
        raise OperatorError(
            f"twite mcp needs the package {missing.name}, which is not installed in twite's "
            f"environment: run `{sys.executable} -m pip install mcp`"
        ) from None
    load(config)
    asyncio.run(serve(config))
