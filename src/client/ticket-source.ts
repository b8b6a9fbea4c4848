import { isChannelName, routes, subprotocol, ticketParameter } from '../protocol.js'
import type { ServerOptions } from './connection.js'
import { ticketTaker, tokenAsker } from './credentials.js'
import { GateError } from './gate-error.js'
import { platform, requireDefined } from './platform.js'
import { baseOf, socketUrlOf } from './server-url.js'
import { SessionRenewals } from './session-renewals.js'
import { TicketApi } from './tickets.js'

export interface TicketSourceOptions extends ServerOptions {
  /**
   * Asks for tickets that open this channel alone.
   * @default tickets for any channel, and URLs of the channel with the empty name
   */
  readonly channel?: string
  /**
   * Where the sockets are opened if not at a channel of the server at `url`: at a tunnel, or at
   * another WebSocket server whose proxy asks the gate. In a page also relative to it.
   */
  readonly socketUrl?: string
}

/**
 * Tickets for WebSocket clients of others. Every call takes a fresh one, so call once for each
 * attempt to connect. Each rejects with a `GateError`; with the remedy `nothing` there is no use in
 * trying again.
 *
 * Sockets in tunnels stay open beyond their first token: before their session ends, `getToken` is
 * asked for a fresh one, and the gate is told. With `getTicket` there is none, so they end.
 */
export interface TicketSource {
  ticket(): Promise<string>
  /** Returns the URL to open, with a ticket in its query. */
  url(): Promise<string>
  /**
   * Returns the subprotocols to offer, with a ticket among them, so that the URL holds no secret.
   * @param own what the client speaks; `ticketgate.v1.json` if left out
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
  const target = socketUrlOf(socketUrl ?? base + routes.channel + (channel ?? ''))
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
