"""Two sockets of Python's websockets for each offer, one publishing to the other. One line per offer for compression.test.ts."""

import asyncio
import json
import sys

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

url, tickets = sys.argv[1], iter(sys.argv[2:])

OFFERS = [
    {},
    {"client_max_window_bits": True},
    {"server_max_window_bits": 12, "client_max_window_bits": 12},
    {"server_max_window_bits": 8},
    {"server_max_window_bits": 9},
    {"server_max_window_bits": 15},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"server_no_context_takeover": True, "server_max_window_bits": 15},
]


async def join(offer):
    factory = ClientPerMessageDeflateFactory(**offer)
    socket = await websockets.connect(f"{url}?ticket={next(tickets)}", compression=None, extensions=[factory])
    await socket.recv()
    return socket


async def main():
    for offer in OFFERS:
        try:
            one, two = await join(offer), await join(offer)
            for word in "abc":
                data = f"{word} " + "0123456789" * 500
                await one.send(json.dumps({"type": "publish", "data": data}))
                heard = json.loads(await asyncio.wait_for(two.recv(), 20))
                assert heard["data"] == data
            await one.close()
            await two.close()
            print("ok", json.dumps(offer), [str(each.name) for each in two.extensions])
        except Exception as error:
            print("failed", json.dumps(offer), repr(error))


asyncio.run(main())
