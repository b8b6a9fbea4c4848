import {
  DEDICATED_COMPRESSOR_4KB,
  DISABLED,
  SHARED_COMPRESSOR,
  SHARED_DECOMPRESSOR,
  type TemplatedApp,
} from 'uWebSockets.js'
import type { Config } from '../config/schema.js'
import type { Server } from '../http/server.js'
import type { ConnectionCaps } from '../limits/caps.js'
import { routes } from '../protocol.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { Embedding } from './application.js'
import type { Lobby } from './first-message.js'
import type { createGateKeeper } from './handshake.js'
import type { SocketTable } from './lifecycle.js'
import type { createMessages } from './messages.js'
import { addressKeyOf, type Socket, type SocketData } from './session.js'

// A proxy drops what is idle for a minute; uWS pings when a quarter of this is left.
const idleTimeoutSeconds = 60

// uWS drops the connection at its own limit, without a close frame. We look at the length ourselves below that, to
// close with 1009. What is above it is no mistake of a client, and not worth the memory.
const payloadLimit = (maxMessageBytes: number): number => Math.max(4 * maxMessageBytes, 262_144)

type Messages = ReturnType<typeof createMessages>
type GateKeeper = ReturnType<typeof createGateKeeper>

export interface ChannelParts {
  readonly config: Config
  readonly server: Server
  readonly caps: ConnectionCaps
  readonly lobby: Lobby
  readonly table: SocketTable
  readonly counters: Counters
  readonly messages: Messages
  readonly embedding: Embedding | undefined
}

// A shared compressor costs no memory, and packs every message by itself. A dedicated one remembers what went before.
// What comes in is unpacked without a memory of its own in either case.
const compressors = {
  off: DISABLED,
  shared: SHARED_COMPRESSOR | SHARED_DECOMPRESSOR,
  dedicated: DEDICATED_COMPRESSOR_4KB | SHARED_DECOMPRESSOR,
}

/** Opens `/channel/NAME` on a uWS app: what happens to a socket from its handshake to its end. */
export function openChannels(
  app: TemplatedApp,
  gateKeeper: GateKeeper,
  { config, server, caps, lobby, table, counters, messages, embedding }: ChannelParts,
): void {
  const decoder = new TextDecoder()
  const slow = new Set<Socket>()
  const closeSlow = (): void => {
    for (const ws of slow) ws.close()
  }
  app.ws<SocketData>(`${routes.channel}*`, {
    idleTimeout: idleTimeoutSeconds,
    maxPayloadLength: payloadLimit(config.maxMessageBytes),
    maxBackpressure: config.maxBackpressureBytes,
    closeOnBackpressureLimit: true,
    compression: compressors[config.compression],
    upgrade: server.guarded(gateKeeper.upgrade),
    open(ws) {
      table.add(ws)
      if (ws.getUserData().session.user !== '') messages.enter(ws)
    },
    message: messages.message,
    ping: messages.control,
    pong: messages.control,
    dropped(ws) {
      counters.messagesDropped++
      ws.getUserData().session.closeReason = 'slow_reader'
      // uWS stops to read and leaves it at that: what the kernel has of it still arrives, however much it is.
      if (slow.size === 0) setImmediate(closeSlow)
      slow.add(ws)
    },
    close(ws, code, reason) {
      slow.delete(ws)
      const session = ws.getUserData().session
      session.closeReason ??= 'other'
      table.delete(ws)
      if (session.user === '') lobby.leave(addressKeyOf(session))
      else caps.leave(session.user, addressKeyOf(session))
      increment(counters.connectionsClosed, session.closeReason)
      embedding?.close(ws, code, decoder.decode(reason))
    },
  })
  app.any(`${routes.channel}*`, server.guarded(gateKeeper.plain))
}
