"""A WebSocket server that knows nothing of tickets: it says which headers a handshake reached it with."""

import asyncio
import json

import websockets


async def on_request(path, _headers):
    print(json.dumps({"request": path}), flush=True)


async def greet(socket):
    headers = {name.lower(): value for name, value in socket.request_headers.raw_items()}
    await socket.send(json.dumps({"headers": headers, "protocol": socket.subprotocol}))
    await socket.wait_closed()


async def main():
    server = await websockets.serve(
        greet, "127.0.0.1", 0, process_request=on_request, subprotocols=["chat"]
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Future()


asyncio.run(main())
