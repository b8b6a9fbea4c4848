"""A client with Python's websockets and msgpack. One line of JSON per step, read by python-client.test.ts."""

import asyncio
import json
import sys

import msgpack
import websockets

encodings = {
    "ticketgate.v1.json": (json.dumps, json.loads),
    "ticketgate.v1.msgpack": (msgpack.packb, msgpack.unpackb),
}


class Client:
    """One socket, and what is said on it in the encoding that the server has agreed to."""

    def __init__(self, socket):
        self.socket = socket
        self.pack, self.unpack = encodings[socket.subprotocol]

    async def hear(self):
        return self.unpack(await self.socket.recv())

    async def ask(self, **message):
        await self.socket.send(self.pack(message))
        return await self.hear()


def say(step, value):
    print(json.dumps([step, value]), flush=True)


async def talk(protocol, one, two):
    say("protocols", [one.socket.subprotocol, two.socket.subprotocol])
    say("welcomes", [(await client.hear())["type"] for client in (one, two)])
    data = {"text": "é😀", "list": [1, -2.5, None, True], "large": 2**53 - 1, "deep": [[[{}]]]}
    say("published", await one.ask(type="publish", data=data, id="p"))
    heard = await two.hear()
    say("heard", [heard["data"] == data, heard["user"], heard["channel"]])
    say("subscribed", await two.ask(type="subscribe", channel="news", id=1))
    say("forbidden", (await two.ask(type="publish", channel="no", data=1, id=2))["code"])
    say("unknown", (await two.ask(type="shout", id=3))["code"])
    say("pong", await two.ask(type="ping", id=4.5))
    if protocol == "ticketgate.v1.msgpack":
        await one.ask(type="publish", data=[b"\x00\xff", 2**64 - 1], id=5)
        say("bytes", (await two.hear())["data"] == [b"\x00\xff", 2**64 - 1])
        await one.socket.send(msgpack.packb({"type": "publish", "data": msgpack.ExtType(1, b"")}))
        say("extension", (await one.hear())["code"])
    say("renewed", (await one.ask(type="renew", ticket=sys.argv[5], id=6))["type"])
    say("again", (await one.ask(type="renew", ticket=sys.argv[5], id=7))["code"])


async def main(url, protocol, one, two, _renewal):
    offered = [protocol, f"ticket.{two}"]
    async with websockets.connect(f"{url}?ticket={one}", subprotocols=[protocol]) as first:
        async with websockets.connect(url, subprotocols=offered) as second:
            await talk(protocol, Client(first), Client(second))
        await first.wait_closed()
        say("closed", [first.close_code, first.close_reason])


asyncio.run(main(*sys.argv[1:]))
