"""What every Python client does with the demo server, and what is found out about the client by the way.

A client is an async context manager, made anew for each connection, whose value has

    tools()                                         the names of the tools
    call(name, arguments, timeout=…, progress=…)    the structured content, else the text; an exception for everything else

Connected with `answer`, an async function from a question's text to its form filled in, it lets itself be asked questions.

The program that uses this is called with the name of the transport (`stdio` or `http`), and finds the server in the
environment: `DEMO_SERVER`, a program, or `DEMO_URL`. What has to hold is asserted; what was found out is printed, one
`client | transport | what | value` a line.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import anyio

HERE = Path(__file__).parent


class Bench:
    """One client with one transport."""

    def __init__(self, client: str, transport: str):
        self.client, self.transport = client, transport
        self.folder = Path(tempfile.mkdtemp(dir=os.environ["SCRATCH"]))
        self.log = self.folder / "said.ndjson"

    def url(self) -> str:
        return os.environ["DEMO_URL"]

    def command(self, *options: str) -> tuple[str, list[str], dict[str, str]]:
        """The server behind the tap: program, arguments, environment."""
        arguments = [str(HERE / "tap.py"), str(self.log), *options, "--", os.environ["DEMO_SERVER"], "stdio"]
        environment = {**os.environ, "JOB_MCP_HOME": str(self.folder / "jobs")}
        return sys.executable, arguments, environment

    def found(self, what: str, value: object) -> None:
        print(f"{self.client} | {self.transport} | {what} | {value}", flush=True)

    def said(self) -> list[dict]:
        """What the client said so far; only where the tap heard it."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]


async def slow_call(client) -> tuple[dict, int]:
    """A call that outlives its budget of a second, and how far it counts.

    Work that ends while its record is being written is answered inline, as may happen on a busy disk. Then longer work is tried.
    """
    to = 4
    while (answer := await client.call("count", {"to": to, "step_ms": 400})) == {"counted": to}:
        to *= 2
    return answer, to


async def use(bench: Bench, client) -> None:
    """Does with the server what a host does."""
    assert {"add", "count", "wait_job", "job_result"} <= set(await client.tools())

    assert await client.call("add", {"a": 2, "b": 3}) == {"sum": 5}
    large = await client.call("slow_json", {"ms": 0, "kb": 256})
    assert len(large["rows"]) == 256 * 16
    bench.found("a quick call", "answered inline")

    ticket, to = await slow_call(client)
    job = ticket["job_id"]
    assert ticket["status"] == "running", ticket
    bench.found("a slow call", "a ticket that passes for the tool's result")
    status = await client.call("job_status", {"job_id": job})
    assert status["job"]["id"] == job
    while not (waited := await client.call("wait_job", {"job_ids": [job]}))["terminal"]:
        pass
    assert waited["jobs"][0]["status"] == "completed", waited
    result = await client.call("job_result", {"job_id": job})
    assert result["result"] == {"counted": to}, result
    bench.found("polling and the result", "by job_status, wait_job and job_result")

    job = (await client.call("crunch", {"ms": 600_000, "async_mode": True}))["job_id"]
    cancelled = await client.call("cancel_job", {"job_id": job})
    assert cancelled["status"] == "cancelled", cancelled

    # This connection says nothing of elicitation.
    ticket = await client.call("ask_name", {})
    job = ticket["job_id"]
    assert ticket["status"] == "input_required" and "answer_job" in ticket["message"], ticket
    answered = await client.call("answer_job", {"job_id": job, "key": "name", "content": {"name": "Ada"}})
    assert answered["job_id"] == job, answered
    while not (waited := await client.call("wait_job", {"job_ids": [job]}))["terminal"]:
        pass
    assert waited["jobs"][0]["result"] == "Hello, Ada!", waited
    bench.found("a question, where it cannot be asked", "a ticket, and answer_job")

    try:
        refused = await client.call("fail_rpc", {})
    except Exception as error:  # each client has its own kind
        assert "always fails" in str(error), error
    else:
        raise AssertionError(f"fail_rpc answered {refused}")

    heard = []

    async def hear(progress, *_) -> None:
        heard.append(progress)

    await client.call("count", {"to": 300, "step_ms": 10}, progress=hear)
    assert heard == sorted(set(heard)) and heard, heard
    bench.found("progress", "told while the call is open")


async def jobs_of(client, tool: str) -> set[str]:
    listed = await client.call("list_jobs", {"limit": 100})
    return {job["id"] for job in listed["jobs"] if job["tool"] == tool}


def for_ever(which: int) -> dict:
    """Work that does not end by itself, so that its end says what became of it. Each is another, as the same call would be
    given the work that runs already."""
    return {"to": 100_000 + which, "step_ms": 50}


async def fate(client, before: set[str]) -> str:
    """What became of the work of a call that its client gave up."""
    # The budget of a later call ends later. Its ticket says that the disk has taken the jobs of all earlier ones too, but for
    # those that were handed in at the same moment.
    later = await client.call("count", for_ever(len(before)))
    for _ in range(10):
        if jobs := await jobs_of(client, "count") - before - {later["job_id"]}:
            break
        await anyio.sleep(0.1)
    return "goes on as a job" if jobs else "stops"


async def give_up(bench: Bench, client) -> None:
    """Gives up calls, in the two ways that there are."""
    before = await jobs_of(client, "count")
    try:
        await client.call("count", for_ever(1000), timeout=0.5)
    except Exception:  # each client has its own kind
        pass
    else:
        raise AssertionError("half a second was not enough, and nobody said so")
    bench.found("after its time-out, the work", await fate(client, before))

    before = await jobs_of(client, "count")
    with anyio.CancelScope() as scope:

        async def hear(*_) -> None:
            scope.cancel()

        await client.call("count", for_ever(2000), progress=hear)
    bench.found("after its cancellation, the work", await fate(client, before))


def overheard(bench: Bench) -> None:
    """What stood on the wire."""
    said = bench.said()
    opening = next(m for m in said if m.get("method") in ("server/discover", "initialize"))
    params = opening["params"]
    meta = params.get("_meta", {})
    info = params.get("clientInfo") or meta.get("io.modelcontextprotocol/clientInfo")
    bench.found("calls itself", info["name"])
    calls = [m["params"] for m in said if m.get("method") == "tools/call"]
    per_call = {call.get("_meta", {}).get("io.modelcontextprotocol/protocolVersion") for call in calls}
    bench.found("protocol", per_call.pop() or params["protocolVersion"])
    quick = next(call for call in calls if call["name"] == "add")
    told = "progressToken" in quick.get("_meta", {})
    bench.found("sends a progress token", "always" if told else "with a callback")
    cancelled = [m["params"].get("reason") for m in said if m.get("method") == "notifications/cancelled"]
    bench.found("reasons of notifications/cancelled", json.dumps(cancelled))


async def questions(bench: Bench, connect) -> None:
    """What becomes of a question where the client can be asked."""
    asked = []

    async def answer(message: str) -> dict:
        asked.append(message)
        return {"name": "Ada"}

    before = len(bench.said())
    async with connect(answer=answer) as client:
        assert await client.call("ask_name", {}) == "Hello, Ada!"
        assert asked == ["What is your name?"], asked
        jobs = await client.call("list_jobs", {"limit": 100})
        assert all(job["status"] != "input_required" for job in jobs["jobs"]), jobs
    bench.found("a question", "answered by the client")
    if bench.transport == "stdio":
        bench.found("answers questions", how_it_answers(bench.said()[before:]))


def how_it_answers(said: list[dict]) -> str:
    """By which message an answer came."""
    if any(m.get("method") == "tasks/update" for m in said):
        return "by tasks/update"
    again = [m for m in said if m.get("method") == "tools/call" and "inputResponses" in m["params"]]
    if again:
        assert "requestState" in again[0]["params"], again
        return "by making the call again"
    assert any("action" in m.get("result", {}) for m in said), said
    return "while the call is open"


async def validates(bench: Bench, connect) -> None:
    """Whether the client checks a result against the tool's output schema."""
    async with connect("--spoil", "add") as client:
        await client.tools()
        try:
            await client.call("add", {"a": 2, "b": 3})
        except Exception:  # each client has its own kind
            bench.found("validates output schemas", "yes")
        else:
            bench.found("validates output schemas", "no")


def run(name: str, connection) -> None:
    """`connection(bench, *options, answer=None)` connects; the options are the tap's."""
    bench = Bench(name, sys.argv[1])

    def connect(*options: str, **who):
        return connection(bench, *options, **who)

    async def everything() -> None:
        async with connect() as client:
            await use(bench, client)
            await give_up(bench, client)
        if bench.transport == "stdio":
            overheard(bench)
            await validates(bench, connect)
        await questions(bench, connect)

    async def in_time() -> None:
        with anyio.fail_after(60):
            await everything()

    anyio.run(in_time)
