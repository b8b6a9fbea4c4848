import { readPresentedTickets } from '../admission/presented-tickets.js'
import type { TunnelRoute } from '../config/tunnels.js'
import { isChannelName } from '../protocol.js'
import type { Entry } from '../socket/handshake.js'
import { encodings } from '../wire/encoding.js'
import { Relay } from './relay.js'
import type { Tunnel } from './tunnel.js'
import { isRest, type UpstreamRequests } from './upstream-request.js'

/** Which of the offered subprotocols is selected; undefined if none fits. */
function protocolOf(setting: string, offered: readonly string[]): string | undefined {
  if (setting === 'none') return ''
  if (setting === 'first') return offered[0]
  return offered.find(name => name === setting)
}

/** The checks of a handshake that are specific to tunnels. */
export function tunnelEntry(
  { channel, subprotocol = 'first' }: TunnelRoute,
  tunnel: Tunnel,
  requests: UpstreamRequests,
): Entry {
  return {
    pathRefusal(path) {
      const rest = requests.restOf(path)
      if (!isRest(rest)) return 'not_found'
      return channel === undefined && !isChannelName(rest) ? 'channel_invalid' : undefined
    },
    channelOf: path => channel ?? requests.restOf(path),
    protocolOf: offered => protocolOf(subprotocol, offered),
    // Tunnels do not decode messages, so any encoding will do.
    encodingOf: () => encodings.json,
    prepare(exchange, session, _ticket, protocol) {
      if (tunnel.upstream.isDown) return 'upstream_unavailable'
      const { protocols } = readPresentedTickets('', exchange.head.webSocketProtocol, '')
      session.tunnel = new Relay(tunnel, requests.of(exchange, session, protocols), protocol)
      return undefined
    },
    details: {
      subprotocol_missing: `Offer ${/^(?:first|none)$/.test(subprotocol) ? 'the subprotocol of this server' : subprotocol} beside the ticket: a browser drops a connection without one.`,
      ticket_missing: 'Open this with ?ticket=… and a ticket from /ws_ticket.',
    },
  }
}
