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
    """One socket, with messages in the encoding that the server has accepted."""

    def __init__(self, socket):
        self.socket = socket
        self.pack, self.unpack = encodings[socket.subprotocol]

    async def hear(self):
        return self.unpack(await self.socket.recv())

    async def ask(self, **message):
        await self.socket.send(self.pack(message))
        return await self.hear()


def report(step, value):
    print(json.dumps([step, value]), flush=True)


async def talk(protocol, one, two):
    report("protocols", [one.socket.subprotocol, two.socket.subprotocol])
    report("welcomes", [(await client.hear())["type"] for client in (one, two)])
    data = {"text": "é😀", "list": [1, -2.5, None, True], "large": 2**53 - 1, "deep": [[[{}]]]}
    report("published", await one.ask(type="publish", data=data, id="p"))
    heard = await two.hear()
    report("heard", [heard["data"] == data, heard["user"], heard["channel"]])
    report("subscribed", await two.ask(type="subscribe", channel="news", id=1))
    report("forbidden", (await two.ask(type="publish", channel="no", data=1, id=2))["code"])
    report("unknown", (await two.ask(type="shout", id=3))["code"])
    report("pong", await two.ask(type="ping", id=4.5))
    if protocol == "ticketgate.v1.msgpack":
        await one.ask(type="publish", data=[b"\x00\xff", 2**64 - 1], id=5)
        report("bytes", (await two.hear())["data"] == [b"\x00\xff", 2**64 - 1])
        await one.socket.send(msgpack.packb({"type": "publish", "data": msgpack.ExtType(1, b"")}))
        report("extension", (await one.hear())["code"])
    report("renewed", (await one.ask(type="renew", ticket=sys.argv[5], id=6))["type"])
    report("again", (await one.ask(type="renew", ticket=sys.argv[5], id=7))["code"])


async def main(url, protocol, one, two, _renewal):
    offered = [protocol, f"ticket.{two}"]
    async with websockets.connect(f"{url}?ticket={one}", subprotocols=[protocol]) as first:
        async with websockets.connect(url, subprotocols=offered) as second:
            await talk(protocol, Client(first), Client(second))
        await first.wait_closed()
        report("closed", [first.close_code, first.close_reason])


asyncio.run(main(*sys.argv[1:]))
