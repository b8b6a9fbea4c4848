import { routes } from '../protocol.js'
import { GateError } from './gate-error.js'
import { type Fetch, type FetchReply, later, platform } from './platform.js'

export interface TicketOffice {
  /** Trades a token for a ticket. @throws GateError */
  mint(token: string): Promise<string>
  /** What became of a ticket that did not open: its state, or undefined where it can not be learned. */
  stateOf(ticket: string): Promise<string | undefined>
}

export interface TicketOfficeOptions {
  readonly fetch: Fetch
  /** Of the server, without a slash at its end. */
  readonly base: string
  /** The one channel the tickets are for; undefined = any. */
  readonly channel: string | undefined
  readonly timeoutMs: number
}

type Body = Readonly<Record<string, unknown>>

export function createTicketOffice({ fetch, base, channel, timeoutMs }: TicketOfficeOptions): TicketOffice {
  async function post(
    path: string,
    headers: Record<string, string>,
    sent?: string,
  ): Promise<{ readonly reply: FetchReply; readonly body: Body }> {
    const abort = new platform.AbortController()
    const cancel = later(timeoutMs, () => abort.abort())
    try {
      const reply = await fetch(base + path, {
        method: 'POST',
        headers,
        signal: abort.signal,
        ...(sent === undefined ? {} : { body: sent }),
      })
      return { reply, body: await bodyOf(reply) }
    } catch {
      // To a page these are one. Where a proxy stands before a server that is away, even an origin that may not ask looks
      // like it, so it is not taken for a reason to give up.
      throw new GateError(
        'unreachable',
        'There is no network, no server, or it does not allow the origin of this page.',
        'time',
      )
    } finally {
      cancel()
    }
  }

  return {
    async mint(token) {
      const query = channel === undefined ? '' : `?channel=${channel}`
      const { reply, body } = await post(routes.ticket + query, { authorization: `Bearer ${token}` })
      if (!reply.ok) throw refusalOf(reply, body)
      if (typeof body.ticket === 'string') return body.ticket
      throw new GateError('bad_reply', 'There is no ticket in what the server answered.', 'time')
    },
    async stateOf(ticket) {
      try {
        const { reply, body } = await post(
          routes.ticketStatus,
          { 'content-type': 'application/json' },
          JSON.stringify({ ticket }),
        )
        return reply.ok && typeof body.state === 'string' ? body.state : undefined
      } catch {
        return undefined
      }
    },
  }
}

/** The JSON object in a reply; an empty one where there is none. */
async function bodyOf(reply: FetchReply): Promise<Body> {
  try {
    const body = await reply.json()
    return typeof body === 'object' && body !== null ? (body as Body) : {}
  } catch {
    return {}
  }
}

// Statuses of 400 to 499 that pass by themselves, or at another node.
const passing: readonly number[] = [408, 421, 425, 429]

/** A refusal of the ticket route (problem+json), or of something in front of it. */
function refusalOf({ status, headers }: FetchReply, body: Body): GateError {
  const code = typeof body.code === 'string' ? body.code : `http_${status}`
  const detail = typeof body.detail === 'string' ? body.detail : `The server answered with status ${status}.`
  if (status === 401 && code !== 'token_revoked') return new GateError(code, detail, 'token')
  if (status < 500 && !passing.includes(status)) return new GateError(code, detail)
  return new GateError(code, detail, 'time', retryAfterMs(headers.get('retry-after')))
}

/** `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. */
export function retryAfterMs(field: string | null): number | undefined {
  if (field === null) return undefined
  const ms = /^\s*\d+\s*$/.test(field) ? Number(field) * 1000 : Date.parse(field) - Date.now()
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}
