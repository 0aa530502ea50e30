// The official TypeScript client, 2.x: as it comes, which is 2025-11-25 (`legacy`), and negotiating (`auto`).

import { createRequire } from "node:module";
import { run } from "./scenario.mjs";

const require = createRequire(`${process.env.NODE_CLIENTS}/`);
const { Client, StreamableHTTPClientTransport, DEFAULT_REQUEST_TIMEOUT_MSEC } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

const mode = process.argv[3];

async function connect(bench, { options = [], answer }) {
  const client = new Client(
    { name: "typescript-v2", version: "1" },
    { versionNegotiation: { mode }, capabilities: answer ? { elicitation: {} } : {} },
  );
  if (answer) {
    client.setRequestHandler("elicitation/create", async ({ params }) => ({ action: "accept", content: answer(params.message) }));
  }
  const transport =
    bench.transport === "stdio"
      ? new StdioClientTransport(bench.command(...options))
      : new StreamableHTTPClientTransport(bench.url());
  await client.connect(transport);
  return {
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args, asked) => {
      const result = await client.callTool({ name, arguments: args }, asked);
      if (result.isError) throw new Error(JSON.stringify(result));
      return result.structuredContent ?? result.content[0].text;
    },
    close: () => client.close(),
  };
}

await run(`@modelcontextprotocol/client 2.4.0 (${mode})`, connect, DEFAULT_REQUEST_TIMEOUT_MSEC);
