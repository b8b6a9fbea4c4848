import { randomUUID } from 'node:crypto'
import { addClaims, headerText } from '../admission/ticket-headers.js'
import { type Clock, toSeconds } from '../clock.js'
import type { AssertionKey } from '../config/assertion-key.js'
import type { TunnelRoute } from '../config/tunnels.js'
import { addressText } from '../http/address.js'
import type { ClientView } from '../http/client-view.js'
import type { Exchange } from '../http/exchange.js'
import { forwardedHeader, ticketHeader, ticketParameter } from '../protocol.js'
import type { Session } from '../socket/session.js'
import { AssertionSigner } from './assertion.js'
import type { UpstreamTarget } from './upstream-target.js'

/** A handshake with the upstream server. */
export interface UpstreamRequest {
  readonly target: UpstreamTarget
  readonly url: URL
  readonly protocols: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  /**
   * The signed assertion, if any. It costs as much as many refusals, so it is only created for
   * spent tickets.
   */
  readonly assert: () => Readonly<Record<string, string>>
}

const maxRestLength = 1024

// Excludes `..`, empty segments and percent-encoding, so that the gate and the upstream server read
// a path in the same way.
const segment = "[A-Za-z0-9_~:@!$&'()*+,;=-][A-Za-z0-9._~:@!$&'()*+,;=-]*"
const restForm = new RegExp(`^(?:${segment}(?:/${segment})*/?)?$`)

/** Whether the rest of a path may be appended to the upstream path. */
export const isRest = (rest: string): boolean => rest.length <= maxRestLength && restForm.test(rest)

const protocolForm = /^[!#$%&'*+.^_`|~A-Za-z0-9-]+$/

/** What a header field may contain (RFC 9110 section 5.5), for a text whose bytes are UTF-8. */
const isFieldValue = (value: string): boolean => !/[^\t\P{Cc}]/u.test(value)

/** A query without the ticket. The rest is not changed. */
const withoutTicket = (query: string): string =>
  query
    .split('&')
    .filter(part => nameOf(part) !== ticketParameter)
    .join('&')

/**
 * The name of a parameter as the upstream server may decode it: it could read `%74icket`, which the
 * gate does not, as another ticket.
 */
function nameOf(part: string): string {
  const [name = ''] = part.split('=')
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

export interface UpstreamRequestsParts {
  readonly target: UpstreamTarget
  readonly clients: ClientView
  readonly clock: Clock
  /** Undefined if nothing is signed. */
  readonly assertionKey: AssertionKey | undefined
}

/** Builds the upstream handshakes of one tunnel. */
export class UpstreamRequests {
  readonly #target: UpstreamTarget
  readonly #basePath: string
  readonly #prefix: string | undefined
  readonly #clients: ClientView

  readonly #signer: AssertionSigner | undefined
  readonly #clock: Clock

  constructor({ path, url }: TunnelRoute, { target, clients, clock, assertionKey }: UpstreamRequestsParts) {
    this.#target = target
    this.#basePath = target.url.pathname.replace(/\/$/, '')
    this.#prefix = path.endsWith('/*') ? path.slice(0, -1) : undefined
    this.#clients = clients
    this.#clock = clock
    this.#signer = assertionKey && new AssertionSigner(assertionKey, url)
  }

  /** The rest of a request's path after the path of the tunnel; '' if the tunnel has no rest. */
  restOf(path: string): string {
    return this.#prefix === undefined ? '' : path.slice(this.#prefix.length)
  }

  /** Must be called in the handler of a request whose ticket is valid. */
  of(exchange: Exchange, session: Session, offered: readonly string[]): UpstreamRequest {
    const { head } = exchange
    const url = new URL(this.#target.url)
    if (this.#prefix !== undefined) url.pathname = `${this.#basePath}/${this.restOf(head.path)}`
    url.search = withoutTicket(head.query)
    return {
      target: this.#target,
      url,
      protocols: [...new Set(offered)].filter(name => protocolForm.test(name)),
      headers: this.#headers(exchange, session),
      assert: () => this.#assertion(session),
    }
  }

  #assertion(session: Session): Record<string, string> {
    return this.#signer === undefined
      ? {}
      : { [ticketHeader.assertion]: this.#signer.sign(session, toSeconds(this.#clock())) }
  }

  #headers(exchange: Exchange, session: Session): Record<string, string> {
    const { head } = exchange
    const headers: Record<string, string> = {}
    if (this.#target.host !== undefined) headers.host = this.#target.host
    // Node writes each character as one byte.
    for (const [name, value] of head.headers)
      if (isFieldValue(value)) headers[name] = Buffer.from(value).toString('latin1')
    headers[ticketHeader.subject] = headerText(session.user)
    headers[ticketHeader.channel] = session.channel
    headers[ticketHeader.session] = session.id
    headers[ticketHeader.expires] = String(session.expiresAtSeconds)
    if (session.carried !== undefined) addClaims(headers, session.carried)
    const address = addressText(this.#clients.address(exchange))
    if (address !== '') headers[forwardedHeader.for] = address
    const [scheme = '', host = ''] = this.#clients.ownOrigin(exchange).split('://')
    if (scheme !== '') headers[forwardedHeader.proto] = scheme
    // An invalid Host could contain anything, and Node throws for some values.
    if (host !== '') headers[forwardedHeader.host] = host
    headers[forwardedHeader.requestId] = randomUUID()
    return headers
  }
}
