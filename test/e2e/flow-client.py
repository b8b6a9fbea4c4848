"""The flow with Python's websockets: one line of JSON per step, read by flow.test.ts."""

import asyncio
import base64
import json
import sys
import urllib.request

import websockets


def call(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as reply:
        return json.load(reply)


def report(step, value):
    print(json.dumps([step, value]), flush=True)


async def main(base, user, password):
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    token = call(f"{base}/auth", Authorization=f"Basic {basic}")["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    ticket = call(f"{base}/ws_ticket", **bearer)["ticket"]
    url = base.replace("http", "ws", 1) + "/channel/"

    async with websockets.connect(f"{url}?ticket={ticket}") as first:
        report("welcome", json.loads(await first.recv())["type"])
        try:
            async with websockets.connect(f"{url}?ticket={ticket}"):
                report("second use", "accepted")
        except websockets.InvalidStatusCode as refusal:
            report("second use", refusal.status_code)

        ticket = call(f"{base}/ws_ticket", **bearer)["ticket"]
        offered = ["ticketgate.v1.json", f"ticket.{ticket}"]
        async with websockets.connect(url, subprotocols=offered) as second:
            report("subprotocol", second.subprotocol)
            await second.recv()
            await second.send(json.dumps({"type": "publish", "data": "hello from Python"}))
            report("message", json.loads(await first.recv())["data"])
        report("closed with", second.close_code)


asyncio.run(main(*sys.argv[1:]))
