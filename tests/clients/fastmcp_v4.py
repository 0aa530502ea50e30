"""FastMCP's client: without tasks in both eras, and with them (`tasks`).

With tasks over stdio only: over HTTP it names no task in the headers of its `tasks/*`, and the SDK's server refuses them.
"""

import re
import sys
from contextlib import asynccontextmanager

import anyio
import fastmcp
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError

import scenario


class Client:
    def __init__(self, client: fastmcp.Client):
        self.client = client

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, name, arguments, timeout=None, progress=None):
        result = await self.client.call_tool(name, arguments, timeout=timeout, progress_handler=progress)
        return result.structured_content or result.content[0].text


def transport(bench: scenario.Bench, *options: str):
    if bench.transport == "http":
        return bench.url()
    command, arguments, environment = bench.command(*options)
    return StdioTransport(command, arguments, env=environment, keep_alive=False)


@asynccontextmanager
async def connection(bench: scenario.Bench, *options: str, answer=None):
    async with fastmcp.Client(transport(bench, *options), mode=sys.argv[2], **asked(answer)) as client:
        yield Client(client)


def asked(answer) -> dict:
    """What a client is made with that lets itself be asked."""

    async def elicit(message, *_) -> dict:
        return await answer(message)

    return {"elicitation_handler": elicit} if answer else {}


async def tasks(bench: scenario.Bench) -> None:
    """The same tools, as tasks."""
    # Who imports this declares tasks with every connection.
    from fastmcp_tasks import call_tool_task

    async with fastmcp.Client(transport(bench)) as client:
        # FastMCP waits for the task's end by itself.
        result = await client.call_tool("count", {"to": 4, "step_ms": 400})
        assert result.structured_content == {"counted": 4}, result
        bench.found("a slow call, as a task", "polled to its end by the client")

        # On a busy disk the work may end while its record is being written, and is no task then.
        to, task = 4, None
        while task is None:
            try:
                task = await call_tool_task(client, "count", {"to": to, "step_ms": 400})
            except ToolError as error:
                assert "did not run as a task" in str(error), error
                to *= 2
        assert (await task.status()).status == "working"
        assert (await task.result()).structured_content == {"counted": to}

        task = await call_tool_task(client, "crunch", {"ms": 600_000})
        await task.cancel()
        while (status := (await task.status()).status) == "working":
            await anyio.sleep(0.1)
        assert status == "cancelled", status
        bench.found("tasks", "created, polled, cancelled")

        # The protocol forbids requests that the client did not declare, so the words of the task say how to answer.
        task = await call_tool_task(client, "ask_name", {})
        status = await task.status()
        waiting = re.search(r"answer_job .*?\"job_id\":\"([0-9a-f-]+)\"", str(status).replace("\\", ""))
        assert status.status == "working" and waiting, status
        job = waiting[1]
        await client.call_tool("answer_job", {"job_id": job, "key": "name", "content": {"name": "Ada"}})
        waited = await client.call_tool("wait_job", {"job_ids": [job]})
        assert waited.structured_content["jobs"][0]["result"] == "Hello, Ada!", waited
        bench.found("a question in a task, where it cannot be asked", "words with the call of answer_job")

    @asynccontextmanager
    async def connect(answer):
        async with fastmcp.Client(transport(bench), **asked(answer)) as client:
            yield Client(client)

    await scenario.questions(bench, connect)

    async def answer(_: str) -> dict:
        return {"name": "Ada"}

    async with fastmcp.Client(transport(bench), **asked(answer)) as client:
        task = await call_tool_task(client, "ask_name", {})
        assert (await task.status()).status == "input_required"
        result = await task.result()
        assert result.content[0].text == "Hello, Ada!", result
        bench.found("a question in a task with a handle", "answered by the client")


def main() -> None:
    if sys.argv[2] == "tasks":
        bench = scenario.Bench("fastmcp 4.1.2 (tasks)", sys.argv[1])

        async def in_time() -> None:
            with anyio.fail_after(60):
                await tasks(bench)

        anyio.run(in_time)
    else:
        scenario.run(f"fastmcp 4.1.2 ({sys.argv[2]})", connection)


main()
