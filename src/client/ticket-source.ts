import { clientRoutes, isChannelName, subprotocol, ticketParameter } from '../protocol.js'
import type { ServerOptions } from './connection.js'
import { ticketTaker, tokenAsker } from './credentials.js'
import { GateError } from './gate-error.js'
import { platform, requireDefined } from './platform.js'
import { baseOf, socketUrlOf } from './server-url.js'
import { SessionRenewals } from './session-renewals.js'
import { TicketApi } from './tickets.js'

export interface TicketSourceOptions extends ServerOptions {
  /**
   * Requests tickets that open only this channel.
   * @default tickets for any channel, and URLs of the channel with the empty name
   */
  readonly channel?: string
  /**
   * The URL of the sockets, if it is not a channel of the server at `url`: a tunnel, or another
   * WebSocket server whose proxy asks the gate. In a page also relative to it.
   */
  readonly socketUrl?: string
}

/**
 * Tickets for other WebSocket clients. Every call gets a new one, so call once per attempt to
 * connect. Each rejects with a `GateError`; if its remedy is `nothing`, trying again is pointless.
 *
 * Sockets in tunnels stay open beyond their first token: before their session ends, the source
 * calls `getToken` for a fresh one and sends it to the gate. With `getTicket` there is no token, so
 * they end.
 */
export interface TicketSource {
  ticket(): Promise<string>
  /** Returns the URL to open, with a ticket in its query. */
  url(): Promise<string>
  /**
   * Returns the subprotocols to offer, including a ticket, so that it does not appear in the URL.
   * @param own the client's own subprotocol; `ticketgate.v1.json` by default
   */
  protocols(...own: string[]): Promise<string[]>
  /** Stops renewing sockets in tunnels: they end when their session does. */
  close(): void
}

/** @throws TypeError for options that cannot work */
export function createTicketSource(options: TicketSourceOptions): TicketSource {
  const { channel, timeoutMs = 10_000, socketUrl } = options
  if (channel !== undefined && !isChannelName(channel)) throw new TypeError('channel: must be a channel name')
  const base = baseOf(options.url)
  const target = socketUrlOf(socketUrl ?? base + clientRoutes.channel + (channel ?? ''))
  const fetch = requireDefined('fetch', options.fetch ?? platform.fetch)
  const api = new TicketApi({ fetch, base, channel, timeoutMs })
  const renewals = options.getToken && new SessionRenewals(api, tokenAsker(options))
  const take = ticketTaker(options, async token => {
    const { ticket, session, sessionExpires } = await api.issue(token)
    if (session !== undefined && sessionExpires !== undefined) renewals?.track(session, sessionExpires)
    return ticket
  })
  let fresh = false

  async function ticket(): Promise<string> {
    const wasFresh = fresh
    try {
      const taken = await take(wasFresh)
      fresh = false
      return taken
    } catch (error) {
      fresh = error instanceof GateError && error.remedy === 'token'
      if (fresh && !wasFresh) return ticket()
      throw error
    }
  }

  return {
    ticket,
    async url() {
      return `${target}${target.includes('?') ? '&' : '?'}${ticketParameter}=${await ticket()}`
    },
    async protocols(...own) {
      return [...(own.length > 0 ? own : [subprotocol.json]), subprotocol.ticketPrefix + (await ticket())]
    },
    close: () => renewals?.close(),
  }
}
