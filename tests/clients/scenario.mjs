// What every TypeScript client does with the demo server, and what is found out about the client by the way: as
// scenario.py, which says more.
//
// A connection has `tools()`, `call(name, arguments, options)` with the structured content, the text where there is none, or an
// exception, and `close()`.

import assert from "node:assert/strict";
import { mkdtempSync, existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));

/** One client with one transport. */
export class Bench {
  constructor(client, transport) {
    this.client = client;
    this.transport = transport;
    this.folder = mkdtempSync(join(process.env.SCRATCH, "ts-"));
    this.log = join(this.folder, "said.ndjson");
  }

  url() {
    return new URL(process.env.DEMO_URL);
  }

  /** The server behind the tap. */
  command(...options) {
    return {
      command: process.env.PYTHON,
      args: [join(HERE, "tap.py"), this.log, ...options, "--", process.env.DEMO_SERVER, "stdio"],
      env: { ...process.env, JOB_MCP_HOME: join(this.folder, "jobs") },
    };
  }

  found(what, value) {
    console.log(`${this.client} | ${this.transport} | ${what} | ${value}`);
  }

  said() {
    if (!existsSync(this.log)) return [];
    return readFileSync(this.log, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }
}

/** A call that outlives its budget; the call is made again with longer work where the work ended while its record was written. */
async function slowCall(client) {
  for (let to = 4; ; to *= 2) {
    const ticket = await client.call("count", { to, step_ms: 400 });
    if (ticket.counted !== to) return { ticket, to };
  }
}

/** Does with the server what a host does. */
async function use(bench, client) {
  const tools = await client.tools();
  for (const tool of ["add", "count", "wait_job", "job_result"]) assert(tools.includes(tool), tool);

  assert.deepEqual(await client.call("add", { a: 2, b: 3 }), { sum: 5 });
  const large = await client.call("slow_json", { ms: 0, kb: 256 });
  assert.equal(large.rows.length, 256 * 16);
  bench.found("a quick call", "answered inline");

  const { ticket, to } = await slowCall(client);
  let job = ticket.job_id;
  assert.equal(ticket.status, "running");
  bench.found("a slow call", "a ticket that passes for the tool's result");
  const status = await client.call("job_status", { job_id: job });
  assert.equal(status.job.id, job);
  let waited;
  do waited = await client.call("wait_job", { job_ids: [job] });
  while (!waited.terminal);
  assert.equal(waited.jobs[0].status, "completed");
  const result = await client.call("job_result", { job_id: job });
  assert.deepEqual(result.result, { counted: to });
  bench.found("polling and the result", "by job_status, wait_job and job_result");

  job = (await client.call("crunch", { ms: 600000, async_mode: true })).job_id;
  assert.equal((await client.call("cancel_job", { job_id: job })).status, "cancelled");

  // This connection says nothing of elicitation.
  const asking = await client.call("ask_name", {});
  job = asking.job_id;
  assert.equal(asking.status, "input_required");
  assert.match(asking.message, /answer_job/);
  const answered = await client.call("answer_job", { job_id: job, key: "name", content: { name: "Ada" } });
  assert.equal(answered.job_id, job);
  do waited = await client.call("wait_job", { job_ids: [job] });
  while (!waited.terminal);
  assert.equal(waited.jobs[0].result, "Hello, Ada!");
  bench.found("a question, where it cannot be asked", "a ticket, and answer_job");

  await assert.rejects(client.call("fail_rpc", {}), /always fails/);

  const heard = [];
  await client.call("count", { to: 300, step_ms: 10 }, { onprogress: (news) => heard.push(news.progress) });
  assert(heard.length > 0);
  assert.deepEqual(heard, [...new Set(heard)].sort((a, b) => a - b));
  bench.found("progress", "told while the call is open");
}

async function jobsOf(client, tool) {
  const listed = await client.call("list_jobs", { limit: 100 });
  return listed.jobs.filter((job) => job.tool === tool).map((job) => job.id);
}

/** Work that does not end by itself. Each is another, as the same call would be given the work that runs already. */
const forEver = (which) => ({ to: 100000 + which, step_ms: 50 });

/** What became of the work of a call that its client gave up, once a later call has become a job. */
async function fate(client, before) {
  const later = await client.call("count", forEver(before.length));
  const known = [...before, later.job_id];
  let jobs = [];
  for (let look = 0; look < 10 && jobs.length === 0; look++) {
    if (look > 0) await new Promise((done) => setTimeout(done, 100));
    jobs = (await jobsOf(client, "count")).filter((id) => !known.includes(id));
  }
  return jobs.length > 0 ? "goes on as a job" : "stops";
}

/** Gives up calls, in the two ways that there are. */
async function giveUp(bench, client) {
  let before = await jobsOf(client, "count");
  await assert.rejects(client.call("count", forEver(1000), { timeout: 500 }));
  bench.found("after its time-out, the work", await fate(client, before));

  before = await jobsOf(client, "count");
  const abort = new AbortController();
  const call = client.call("count", forEver(2000), {
    signal: abort.signal,
    onprogress: () => abort.abort("the person pressed Esc"),
  });
  await assert.rejects(call);
  bench.found("after its cancellation, the work", await fate(client, before));
}

/** What stood on the wire. */
function overheard(bench) {
  const said = bench.said();
  const opening = said.find((message) => ["server/discover", "initialize"].includes(message.method));
  const { params } = opening;
  const info = params.clientInfo ?? params._meta["io.modelcontextprotocol/clientInfo"];
  bench.found("calls itself", info.name);
  const calls = said.filter((message) => message.method === "tools/call").map((message) => message.params);
  bench.found("protocol", calls[0]._meta?.["io.modelcontextprotocol/protocolVersion"] ?? params.protocolVersion);
  const quick = calls.find((call) => call.name === "add");
  bench.found("sends a progress token", quick._meta?.progressToken === undefined ? "with a callback" : "always");
  const reasons = said
    .filter((message) => message.method === "notifications/cancelled")
    .map((message) => message.params.reason);
  bench.found("reasons of notifications/cancelled", JSON.stringify(reasons));
}

/** What becomes of a question where the client can be asked. */
async function questions(bench, connect) {
  const asked = [];
  const answer = (message) => {
    asked.push(message);
    return { name: "Ada" };
  };
  const before = bench.said().length;
  const client = await connect(bench, { answer });
  assert.equal(await client.call("ask_name", {}), "Hello, Ada!");
  assert.deepEqual(asked, ["What is your name?"]);
  const { jobs } = await client.call("list_jobs", { limit: 100 });
  assert(jobs.every((job) => job.status !== "input_required"));
  bench.found("a question", "answered by the client");
  if (bench.transport === "stdio") bench.found("answers questions", howItAnswers(bench.said().slice(before)));
  await client.close();
}

/** By which message an answer came. */
function howItAnswers(said) {
  const again = said.find((message) => message.method === "tools/call" && message.params.inputResponses);
  if (again) {
    assert(again.params.requestState);
    return "by making the call again";
  }
  assert(said.some((message) => message.result?.action));
  return "while the call is open";
}

/** Whether the client checks a result against the tool's output schema. */
async function validates(bench, connect) {
  const client = await connect(bench, { options: ["--spoil", "add"] });
  await client.tools();
  const checked = await client.call("add", { a: 2, b: 3 }).then(
    () => "no",
    () => "yes",
  );
  bench.found("validates output schemas", checked);
  await client.close();
}

/** `connect(bench, {options, answer})` makes a connection; the options are the tap's, and `answer` fills the form of a question. */
export async function run(name, connect, defaultTimeout) {
  const bench = new Bench(name, process.argv[2]);
  const hung = setTimeout(() => {
    console.error(`${name}: took more than a minute`);
    process.exit(1);
  }, 60000);
  const client = await connect(bench, {});
  await use(bench, client);
  await giveUp(bench, client);
  if (bench.transport === "stdio") {
    overheard(bench);
    await validates(bench, connect);
  }
  await questions(bench, connect);
  bench.found("gives up after", `${defaultTimeout / 1000} s`);
  await client.close();
  clearTimeout(hung);
}
