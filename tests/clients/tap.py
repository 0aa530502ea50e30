"""Stands between a client and a server on stdio, and writes down what the client says.

    tap.py LOG [--spoil TOOL] -- COMMAND…

With --spoil, the list of tools says of this one that its results look as they never do: a client that validates them
notices.
"""

import json
import subprocess
import sys
import threading


def main() -> int:
    split = sys.argv.index("--")
    log, *options = sys.argv[1:split]
    spoiled = options[1] if options else None
    server = subprocess.Popen(sys.argv[split + 1 :], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answers() -> None:
        for line in server.stdout:
            if spoiled and b'"tools"' in line:
                message = json.loads(line)
                for tool in message.get("result", {}).get("tools", []):
                    if tool["name"] == spoiled:
                        tool["outputSchema"] = {"type": "object", "required": ["what never is there"]}
                line = json.dumps(message).encode() + b"\n"
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

    thread = threading.Thread(target=answers, daemon=True)
    thread.start()
    with open(log, "ab") as said:
        for line in sys.stdin.buffer:
            said.write(line)
            said.flush()
            server.stdin.write(line)
            server.stdin.flush()
    server.stdin.close()
    thread.join(10)
    return server.wait(10)


if __name__ == "__main__":
    sys.exit(main())
