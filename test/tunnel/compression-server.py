"""Echo servers built with Python's websockets, one for each way to accept an offer of compression. Prints their ports on one line, for compression.test.ts."""

import asyncio

import websockets
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

ACCEPTED = [
    {},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"server_max_window_bits": 9, "client_max_window_bits": 9},
    {"client_max_window_bits": 8},
]


async def echo(socket):
    await socket.send(" ".join(extension.name for extension in socket.extensions))
    async for message in socket:
        await socket.send(message)


async def main():
    ports = []
    for accepted in ACCEPTED:
        factory = ServerPerMessageDeflateFactory(**accepted)
        server = await websockets.serve(
            echo, "127.0.0.1", 0, compression=None, extensions=[factory], max_size=None
        )
        ports.append(str(server.sockets[0].getsockname()[1]))
    print(" ".join(ports), flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(main())
