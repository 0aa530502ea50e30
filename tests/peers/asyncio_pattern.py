"""The pattern of this library as it is usually written with asyncio: the work in a task, a budget, a table of jobs, and one
JSON file that is rewritten at each change. Needs nothing but Python.

The file is written beside its place and moved there, so that it is whole at every instant. `synced` also waits for the disk,
as this library does before it hands out an id; most such code does not.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

BUDGET = 0.05


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


class Jobs:
    def __init__(self, folder: Path, synced: bool):
        self.path, self.synced = folder / "jobs.json", synced
        self.jobs: dict[str, dict] = {}
        self.lock = asyncio.Lock()

    async def change(self, job: str, **fields) -> None:
        async with self.lock:
            self.jobs.setdefault(job, {}).update(fields, updated_at=now())
            text = json.dumps({"version": 1, "jobs": list(self.jobs.values())})
            await asyncio.to_thread(self.write, text)

    def write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        with open(new, "w") as file:
            file.write(text)
            if self.synced:
                file.flush()
                os.fdatasync(file.fileno())
        os.replace(new, self.path)
        if self.synced:
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    async def call(self, tool: str, work):
        """Answers within the budget, or with the id of a job."""
        task = asyncio.create_task(work)
        try:
            return await asyncio.wait_for(asyncio.shield(task), BUDGET)
        except TimeoutError:
            job = str(uuid.uuid4())
            await self.insert(job, tool)
            task.add_done_callback(lambda done: asyncio.ensure_future(self.end(job, done)))
            return {"job_id": job, "status": "running"}

    async def insert(self, job: str, tool: str) -> None:
        fields = {"id": job, "tool": tool, "label": tool, "server": "reactor", "status": "running"}
        await self.change(job, **fields, created_at=now(), progress={"current": 52, "total": 100})

    async def end(self, job: str, done: asyncio.Task) -> None:
        result = None if done.cancelled() else done.result()
        await self.change(job, status="completed", result=result, completed_at=now())


async def add(a: int, b: int) -> int:
    return a + b


def figure(name: str, value: float, unit: str) -> None:
    print(f"figure {name} {value:.4f} {unit}", flush=True)


async def measure(synced: bool) -> None:
    name = "peer.asyncio.synced" if synced else "peer.asyncio"
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(Path(folder), synced)
        if not synced:
            calls = []
            for _ in range(2000):
                began = time.perf_counter()
                assert await jobs.call("add", add(2, 3)) == 5
                calls.append((time.perf_counter() - began) * 1e6)
            figure(f"{name}.call", statistics.median(calls), "us")

        lateness = []
        for _ in range(40):
            began = time.perf_counter()
            answer = await jobs.call("work", asyncio.sleep(0.06))
            lateness.append((time.perf_counter() - began - BUDGET) * 1e3)
            assert answer["status"] == "running"
            await asyncio.sleep(0.03)
        figure(f"{name}.late", statistics.median(lateness), "ms")

        for number in range(1000):
            jobs.jobs[str(number)] = {
                "id": str(uuid.uuid4()), "tool": "simulate", "label": "simulate", "server": "reactor",
                "status": "completed", "created_at": now(), "updated_at": now(), "completed_at": now(),
                "progress": {"current": 52, "total": 100, "message": "simulated 52 of 100"}, "result": {"counted": number},
            }
        changes = []
        for number in range(100):
            began = time.perf_counter()
            await jobs.change(str(number), status="completed")
            changes.append((time.perf_counter() - began) * 1e6)
        figure(f"{name}.change", statistics.median(changes), "us")


for synced in (False, True):
    asyncio.run(measure(synced))
