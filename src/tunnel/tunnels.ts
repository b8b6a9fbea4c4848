// tunnel/: WebSockets that are relayed to upstream servers, which need not know about tickets.
// Admission and lifetime are decided as for any other socket.

import type { Clock } from '../clock.js'
import { type AssertionKey, readAssertionKey } from '../config/assertion-key.js'
import type { Config } from '../config/schema.js'
import type { TunnelRoute } from '../config/tunnels.js'
import type { ClientView } from '../http/client-view.js'
import type { Application } from '../socket/application.js'
import { closeFailed } from '../socket/closing.js'
import { MessageLimits } from '../socket/message-limits.js'
import { MessageRate } from '../socket/message-rate.js'
import type { SocketEvents } from '../socket/socket-events.js'
import type { Conversation, Sockets } from '../socket/sockets.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Revocations } from '../token/revocation.js'
import type { SessionRenewed } from '../wire/relay.js'
import { tunnelEntry } from './entry.js'
import { FrameBatch } from './frame-batch.js'
import { relayOf } from './relay.js'
import { renewTunnels } from './renewal.js'
import { Tunnel } from './tunnel.js'
import { UpstreamRequests } from './upstream-request.js'
import { UpstreamTarget } from './upstream-target.js'

export interface TunnelsParts {
  readonly config: Config
  readonly sockets: Sockets
  readonly clients: ClientView
  readonly application: Application | undefined
  readonly revocations: Revocations
  readonly counters: Counters
  readonly log: Log
  readonly clock: Clock
}

// How many bytes a paused socket may still deliver: one read of Node.
const readBytes = 65_536

/** The tunnels of one thread. */
export class Tunnels {
  readonly #parts: TunnelsParts
  readonly #tunnels: Tunnel[] = []

  /** Adds a route for each tunnel. */
  constructor(parts: TunnelsParts) {
    this.#parts = parts
    const { tunnels, tunnelAssertionKeyFile: file } = parts.config
    const key = file === undefined ? undefined : readAssertionKey(file)
    const batch = new FrameBatch()
    for (const route of tunnels) this.#tunnels.push(openTunnel(route, { ...parts, batch }, key))
  }

  /** How many upstream sockets are open, or about to close. */
  get size(): number {
    return this.#tunnels.reduce((sum, { size }) => sum + size, 0)
  }

  /** Extends the sockets of a session, or one socket, and returns how many. */
  renew(renewed: SessionRenewed): number {
    return renewTunnels(this.#parts, renewed)
  }

  /** Destroys everything at once. */
  close(): void {
    for (const tunnel of this.#tunnels) tunnel.close()
  }
}

function openTunnel(
  route: TunnelRoute,
  parts: TunnelsParts & { readonly batch: FrameBatch },
  assertionKey: AssertionKey | undefined,
): Tunnel {
  const { config, sockets, clients, application, counters, clock, log } = parts
  const { messageRate } = route
  const target = new UpstreamTarget(route)
  const tunnel = new Tunnel(route, target, parts)
  const { maxMessageBytes, maxUpstreamBytes, maxBufferedBytes } = tunnel
  const limits = new MessageLimits({
    rate:
      messageRate === undefined
        ? sockets.messageRate
        : new MessageRate(messageRate === 'off' ? undefined : messageRate, sockets.stalls),
    maxMessageBytes,
    counters,
    clock,
  })
  sockets.route({
    path: route.path,
    entry: tunnelEntry(route, tunnel, new UpstreamRequests(route, { target, clients, clock, assertionKey })),
    conversation: conversationOf(limits, sockets.events, log),
    application,
    maxMessageBytes,
    // The upstream server is paused before so much is waiting.
    maxBackpressureBytes: maxBufferedBytes + maxUpstreamBytes + readBytes,
    firstMessageSeconds: 0,
    headers: new Set(config.tunnelHeaders),
  })
  return tunnel
}

const conversationOf = (limits: MessageLimits, events: SocketEvents, log: Log): Conversation => ({
  open(ws) {
    events.opened(ws.getUserData().session, false)
    try {
      relayOf(ws)?.open(ws)
    } catch (error) {
      closeFailed(ws, error, log)
    }
  },
  message(ws, bytes, isBinary) {
    if (limits.admit(ws, bytes.byteLength) !== 0) relayOf(ws)?.send(bytes, isBinary)
  },
  control: ws => limits.control(ws),
  drained: ws => relayOf(ws)?.drained(ws),
  closed(ws, code, reason) {
    relayOf(ws)?.clientClosed(code, reason, ws.getUserData().session.closeReason === 'other')
  },
})
