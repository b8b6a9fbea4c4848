"""An echo server that knows nothing about tickets. It prints each request that reaches it."""

import asyncio
import json

import websockets


async def on_request(path, headers):
    print(json.dumps({"path": path, "headers": list(headers.raw_items())}), flush=True)


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def main():
    server = await websockets.serve(
        echo, "127.0.0.1", 0, process_request=on_request, subprotocols=["chat"]
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Future()


asyncio.run(main())
