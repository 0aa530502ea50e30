// The official TypeScript client, 1.x.

import { createRequire } from "node:module";
import { run } from "./scenario.mjs";

const require = createRequire(`${process.env.NODE_CLIENTS}/`);
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = require("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
const { ElicitRequestSchema } = require("@modelcontextprotocol/sdk/types.js");
const { DEFAULT_REQUEST_TIMEOUT_MSEC } = require("@modelcontextprotocol/sdk/shared/protocol.js");

async function connect(bench, { options = [], answer }) {
  const client = new Client({ name: "typescript-v1", version: "1" }, { capabilities: answer ? { elicitation: {} } : {} });
  if (answer) {
    client.setRequestHandler(ElicitRequestSchema, async ({ params }) => ({ action: "accept", content: answer(params.message) }));
  }
  const transport =
    bench.transport === "stdio"
      ? new StdioClientTransport(bench.command(...options))
      : new StreamableHTTPClientTransport(bench.url());
  await client.connect(transport);
  return {
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args, asked) => {
      const result = await client.callTool({ name, arguments: args }, undefined, asked);
      if (result.isError) throw new Error(JSON.stringify(result));
      return result.structuredContent ?? result.content[0].text;
    },
    close: () => client.close(),
  };
}

await run("@modelcontextprotocol/sdk 1.32.2", connect, DEFAULT_REQUEST_TIMEOUT_MSEC);
