"""Chat on a channel: lines from standard input are published, and messages of others are printed."""

import asyncio
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request

import websockets

GATE = os.environ.get("GATE", "http://127.0.0.1:8080")
USER = os.environ.get("GATE_USER", "maggie")
PASSWORD = os.environ.get("GATE_PASSWORD", "")
CHANNEL = sys.argv[1] if len(sys.argv) > 1 else "lobby"


class Refused(Exception):
    """The gate has refused, with a status and a code."""

    def __init__(self, status, problem):
        super().__init__(f"{problem.get('code', status)}: {problem.get('detail', problem.get('title', ''))}")
        self.status = status


def ask(path, body, token=None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(GATE + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        is_ours = error.headers.get_content_type() == "application/problem+json"
        raise Refused(error.code, json.load(error) if is_ours else {}) from None


def take_ticket():
    token = ask("/auth", {"user": USER, "pwd": PASSWORD})["token"]
    return ask("/ws_ticket", {"channel": CHANNEL}, token)["ticket"]


async def publish_all(socket, lines):
    while (line := await lines.get()) is not None:
        await socket.send(json.dumps({"type": "publish", "data": line}))


async def hear_all(socket):
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "welcome":
            print(f"* {message['user']} in {message['channel']}", flush=True)
        elif message["type"] == "message":
            print(f"{message.get('user', 'server')}: {message['data']}", flush=True)


async def session(lines):
    """One socket, from its ticket to its end: true if there are no more lines."""
    ticket = await asyncio.to_thread(take_ticket)
    url = GATE.replace("http", "ws", 1) + f"/channel/{CHANNEL}"
    # Among the subprotocols, no URL holds the ticket.
    protocols = ["ticketgate.v1.json", f"ticket.{ticket}"]
    async with websockets.connect(url, subprotocols=protocols) as socket:
        tasks = [asyncio.create_task(publish_all(socket, lines)), asyncio.create_task(hear_all(socket))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()
        return tasks[0] in done


def read_lines(loop, lines):
    for line in sys.stdin:
        loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
    loop.call_soon_threadsafe(lines.put_nowait, None)


async def main():
    lines = asyncio.Queue()
    threading.Thread(target=read_lines, args=(asyncio.get_running_loop(), lines), daemon=True).start()
    failures = 0
    while True:
        began = time.monotonic()
        try:
            if await session(lines):
                return
        except Refused as refusal:
            if refusal.status in (401, 403):
                sys.exit(f"* {refusal}")
            print(f"* {refusal}", file=sys.stderr)
        except (OSError, websockets.WebSocketException) as error:
            print(f"* {error}", file=sys.stderr)
        # A random time that doubles with each failure, up to 30 s, so that clients do not all come back at once.
        failures = failures + 1 if time.monotonic() - began < 30 else 0
        await asyncio.sleep(random.uniform(0, min(30, 0.5 * 2**failures)))


asyncio.run(main())
