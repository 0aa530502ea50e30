"""FastMCP with tasks: its own client and server in one process, the backend in memory (its default; nothing is durable).

It has no budget: a client that knows tasks gets a task at once, for trivial work too.
"""

import asyncio
import logging
import statistics
import time

import fastmcp
from fastmcp_tasks import TasksExtension, call_tool_task

logging.disable(logging.CRITICAL)

mcp = fastmcp.FastMCP("peer")
mcp.add_extension(TasksExtension())


@mcp.tool
async def plain(a: int, b: int) -> dict:
    return {"sum": a + b}


@mcp.tool(task=True)
async def add(a: int, b: int) -> dict:
    return {"sum": a + b}


def figure(name: str, value: float, unit: str) -> None:
    print(f"figure {name} {value:.4f} {unit}", flush=True)


async def median_of(times: int, act) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


async def main() -> None:
    async with fastmcp.Client(mcp) as client:
        arguments = {"a": 2, "b": 3}
        figure("peer.fastmcp.plain", await median_of(300, lambda: client.call_tool("plain", arguments)), "us")

        async def ticket():
            await call_tool_task(client, "add", arguments)

        figure("peer.fastmcp.ticket", await median_of(100, ticket), "us")

        async def to_its_end():
            task = await call_tool_task(client, "add", arguments)
            assert (await task.result()).structured_content == {"sum": 5}

        figure("peer.fastmcp.call", await median_of(5, to_its_end), "us")
        for _ in range(900):
            await ticket()
        figure("peer.fastmcp.change", await median_of(100, ticket), "us")


asyncio.run(main())
