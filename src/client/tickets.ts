import {
  clientRoutes,
  isJsonObject,
  problemType,
  type TicketReply,
  type TicketStatusReply,
} from '../protocol.js'
import { GateError } from './gate-error.js'
import type { Fields } from './messages.js'
import { type Fetch, type FetchReply, platform, schedule } from './platform.js'
import { remedyOf } from './refusals.js'

export interface TicketApiOptions {
  readonly fetch: Fetch
  /** The URL of the server, without a trailing slash. */
  readonly base: string
  /** The one channel the tickets are for; undefined = any. */
  readonly channel: string | undefined
  readonly timeoutMs: number
}

// Servers and proxies refuse headers beyond some kilobytes, in ways that a page cannot read.
const maxTokenInHeader = 3000
const json = { 'content-type': 'application/json' }

interface Reply {
  readonly reply: FetchReply
  readonly body: Fields
}

/** The ticket routes of one server. */
export class TicketApi {
  readonly #options: TicketApiOptions

  constructor(options: TicketApiOptions) {
    this.#options = options
  }

  /** Exchanges a token for a ticket. @throws GateError */
  async issue(token: string): Promise<TicketReply> {
    const { channel } = this.#options
    const path = clientRoutes.ticket + (channel === undefined ? '' : `?channel=${channel}`)
    const reply = await this.send(path, token)
    if (isTicket(reply.ticket)) return reply as unknown as TicketReply
    throw new GateError('bad_reply', 'The reply of the server has no ticket.', 'time')
  }

  /** Sends a token to a route, with other members. Returns the reply. @throws GateError */
  async send(path: string, token: string, asked?: object): Promise<Fields> {
    const { reply, body } =
      asked !== undefined || token.length > maxTokenInHeader
        ? await this.#post(path, json, JSON.stringify({ ...asked, token }))
        : await this.#post(path, { authorization: `Bearer ${token}` })
    if (!reply.ok) throw refusalOf(reply, body)
    return body
  }

  /**
   * Returns the code that tells why a ticket did not open a socket. Undefined if that was not due
   * to the ticket, or is unknown.
   */
  async refusalOf(ticket: string): Promise<string | undefined> {
    try {
      const { reply, body } = await this.#post(clientRoutes.ticketStatus, json, JSON.stringify({ ticket }))
      const { state, refused } = body as Partial<TicketStatusReply>
      if (!reply.ok) return undefined
      if (typeof refused === 'string') return refused
      return typeof state === 'string' && state !== 'live' ? `ticket_${state}` : undefined
    } catch {
      return undefined
    }
  }

  /** @throws GateError `unreachable` */
  async #post(path: string, headers: Record<string, string>, sent?: string): Promise<Reply> {
    const { fetch, base, timeoutMs } = this.#options
    const abort = new platform.AbortController()
    const cancel = schedule(timeoutMs, () => abort.abort())
    try {
      const reply = await fetch(base + path, {
        method: 'POST',
        headers,
        signal: abort.signal,
        ...(sent === undefined ? {} : { body: sent }),
      })
      return { reply, body: await bodyOf(reply) }
    } catch {
      // A page cannot distinguish these. A proxy whose server is down sends no CORS headers, which
      // looks like a forbidden origin, so that is no reason to give up either.
      throw new GateError(
        'unreachable',
        'The network or the server is down, or the server forbids the origin of this page.',
        'time',
      )
    } finally {
      cancel()
    }
  }
}

/** Whether this can be a ticket: it has only characters that occur in tickets. */
export const isTicket = (value: unknown): value is string =>
  typeof value === 'string' && /^[\w.-]+$/.test(value)

/** Returns the JSON object in a reply, an empty one if there is none. */
async function bodyOf(reply: FetchReply): Promise<Fields> {
  try {
    const body = await reply.json()
    return isJsonObject(body) ? body : {}
  } catch {
    return {}
  }
}

/**
 * A refusal of the ticket route. Only the server's own, a problem of RFC 9457 with one of its
 * codes, can be final: firewalls, proxies and maintenance pages in front of it may refuse with any
 * status, which is temporary.
 */
function refusalOf({ status, headers }: FetchReply, { type, code, detail }: Fields): GateError {
  const waitMs = retryAfterMs(headers.get('retry-after'))
  const isProblem = /^application\/problem\+json\b/i.test(headers.get('content-type') ?? '')
  if (isProblem && typeof code === 'string' && (type === undefined || type === problemType(code)))
    return new GateError(code, typeof detail === 'string' ? detail : code, remedyOf(code), waitMs)
  const remedy = status === 401 ? 'token' : 'time'
  return new GateError(`http_${status}`, `The reply has status ${status}.`, remedy, waitMs)
}

/**
 * Reads `Retry-After` (RFC 9110 section 10.2.3), seconds or a date. Returns milliseconds from now.
 */
export function retryAfterMs(field: string | null): number | undefined {
  if (field === null) return undefined
  const ms = /^\s*\d+\s*$/.test(field) ? Number(field) * 1000 : Date.parse(field) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
