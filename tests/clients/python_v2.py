"""The official Python client, 2.x: in its own way, which is 2026-07-28, and as it speaks to servers of the era before."""

import sys
from contextlib import asynccontextmanager

import mcp
from mcp import StdioServerParameters
from mcp.types import ElicitResult

import scenario


class Client:
    def __init__(self, client: mcp.Client):
        self.client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, name, arguments, timeout=None, progress=None):
        result = await self.client.call_tool(name, arguments, timeout, progress)
        assert not result.is_error, result
        return result.structured_content or result.content[0].text


@asynccontextmanager
async def connection(bench: scenario.Bench, *options: str, answer=None):
    async def elicit(_, params) -> ElicitResult:
        return ElicitResult(action="accept", content=await answer(params.message))

    can = {"elicitation_callback": elicit} if answer else {}
    if bench.transport == "stdio":
        command, arguments, environment = bench.command(*options)
        server = StdioServerParameters(command=command, args=arguments, env=environment)
    else:
        server = bench.url()
    async with mcp.Client(server, mode=sys.argv[2], **can) as client:
        yield Client(client)


scenario.run(f"mcp 2.3.0 ({sys.argv[2]})", connection)
