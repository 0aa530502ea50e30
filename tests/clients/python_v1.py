"""The official Python client, 1.x."""

from contextlib import asynccontextmanager
from datetime import timedelta

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

import scenario


class Client:
    def __init__(self, session: ClientSession):
        self.session = session

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, name, arguments, timeout=None, progress=None):
        limit = timedelta(seconds=timeout) if timeout else None
        result = await self.session.call_tool(name, arguments, limit, progress)
        assert not result.isError, result
        return result.structuredContent or result.content[0].text


@asynccontextmanager
async def connection(bench: scenario.Bench, *options: str, answer=None):
    async def elicit(_, params) -> ElicitResult:
        return ElicitResult(action="accept", content=await answer(params.message))

    can = {"elicitation_callback": elicit} if answer else {}
    if bench.transport == "stdio":
        command, arguments, environment = bench.command(*options)
        server = StdioServerParameters(command=command, args=arguments, env=environment)
        transport = stdio_client(server)
    else:
        transport = streamable_http_client(bench.url())
    async with transport as (read, write, *_), ClientSession(read, write, **can) as session:
        await session.initialize()
        yield Client(session)


scenario.run("mcp 1.30.0", connection)
