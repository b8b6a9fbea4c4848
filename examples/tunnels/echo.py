"""A server with `websockets`, without any code for tickets. The gate names the user in a header."""

import asyncio
import os
from urllib.parse import unquote

import websockets


async def echo(socket):
    # Before version 14 the headers are elsewhere.
    headers = socket.request.headers if hasattr(socket, "request") else socket.request_headers
    user = unquote(headers["X-Ticket-Subject"])
    async for message in socket:
        await socket.send(f"{user}: {message}" if isinstance(message, str) else message)


async def main():
    server = await websockets.serve(echo, "127.0.0.1", int(os.environ.get("PORT", "3004")))
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Future()


asyncio.run(main())
