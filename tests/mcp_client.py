"""Ask `twite mcp` as an agent does: the SDK's client starts it as a process (stdio)."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import mcp_types as types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

import fork_server


class McpSession(NamedTuple):
    """The tools by name, and the result of each call in order."""

    tools: dict[str, types.Tool]
    results: list[types.CallToolResult]
    instructions: str
    log: str


Call = tuple[str, dict[str, Any]]


def asked(config: Path, *calls: Call, environ: dict[str, str]) -> McpSession:
    """Start the command, list its tools, and call some. Its standard error is the `log`."""
    return asyncio.run(_asked(config, calls, environ))


async def _asked(config: Path, calls: tuple[Call, ...], environ: dict[str, str]) -> McpSession:
    program, *arguments = fork_server.command_of("twite")
    process = StdioServerParameters(
        command=program, args=[*arguments, "mcp", "--config", str(config)], env=environ
    )
    log = config.with_name("mcp.log")
    with log.open("w") as errors:
        async with Client(stdio_client(process, errlog=errors)) as client:
            listed = await client.list_tools()
            results = [await client.call_tool(name, arguments) for name, arguments in calls]
            instructions = client.instructions or ""
    return McpSession(
        tools={tool.name: tool for tool in listed.tools},
        results=results,
        instructions=instructions,
        log=log.read_text(),
    )


def text_of(result: types.CallToolResult) -> str:
    return "".join(getattr(block, "text", "") for block in result.content)
