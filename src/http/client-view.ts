import { Refusal } from '../errors.js'
import type { Address } from '../ticket/address.js'
import type { TrustedProxies } from './address.js'
import type { Exchange } from './exchange.js'
import type { ForwardingWarnings } from './forwarding-warnings.js'

/** What the connection and trusted proxies say of the client. To be asked in the handler of the request. */
export interface ClientView {
  /** @throws Refusal `bad_request` for a PROXY header from a peer that is not trusted */
  address(exchange: Exchange): Address
  /**
   * Our scheme, host and port as the client sees them, serialised as an origin; '' when unknown.
   * @throws Refusal `bad_request` as `address`
   */
  ownOrigin(exchange: Exchange): string
  /** Why a request that asks for neither is refused: for the same. Cheaper than these. */
  proxyRefusal(exchange: Exchange): Refusal | undefined
}

export interface ClientViewOptions {
  readonly proxies: TrustedProxies
  readonly publicUrl: string | undefined
  readonly tls: boolean
  readonly warnings: ForwardingWarnings
}

const hostPattern = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

const gone = (): Refusal => new Refusal('bad_request', { detail: 'The connection is gone.' })

/** Traefik names the scheme of a handshake as that of WebSockets. */
const schemes: Readonly<Record<string, string>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' }

export function createClientView({ proxies, publicUrl, tls, warnings }: ClientViewOptions): ClientView {
  const publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin

  /**
   * Who is at the other end: the peer, or whom a trusted one names in a PROXY header (version 2;
   * the engine takes that before any request, and the last one counts).
   * @throws Refusal for such a header from anybody else, or when the connection is gone
   */
  function clientAt(exchange: Exchange): Address {
    const peer = exchange.peer()
    if (peer.length === 0) throw gone()
    const isTrusted = proxies.has(peer)
    if (!isTrusted) warnings.ofStranger(exchange.head, peer)
    const named = exchange.proxied()
    if (named.length === 0) return peer
    if (!isTrusted) throw refuseProxy(peer)
    return named
  }

  function refuseProxy(peer: Address): Refusal {
    warnings.ofStrangersProxyHeader(peer)
    return new Refusal('bad_request', {
      detail: 'The PROXY protocol is accepted from trusted proxies only.',
    })
  }

  return {
    address(exchange) {
      const peer = clientAt(exchange)
      if (!proxies.has(peer)) return peer
      const { forwardedFor } = exchange.head
      if (forwardedFor === '') warnings.ofSilentProxy(exchange.head, peer)
      return proxies.clientOf(peer, forwardedFor)
    },
    ownOrigin(exchange) {
      if (publicOrigin !== undefined) return publicOrigin
      const { head } = exchange
      let scheme = tls ? 'https' : 'http'
      let { host } = head
      const peer = clientAt(exchange)
      if (proxies.has(peer)) {
        const hops = proxies.hopsOf(peer, head.forwardedFor)
        scheme = entryOf(head.forwardedProto, hops).toLowerCase() || scheme
        host = entryOf(head.forwardedHost, hops) || host
      }
      const known = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
      const url = `${known}://${host}`
      return known !== undefined && hostPattern.test(host) && URL.canParse(url) ? new URL(url).origin : ''
    },
    proxyRefusal(exchange) {
      if (exchange.proxied().length === 0) return undefined
      const peer = exchange.peer()
      if (peer.length === 0) return gone()
      return proxies.has(peer) ? undefined : refuseProxy(peer)
    },
  }
}

/**
 * The entry of a list that the outermost of our proxies wrote, `hops` from its end. A proxy that
 * does not append replaces, so a list may be shorter than the way; the client may have written
 * what is further left.
 */
function entryOf(list: string, hops: number): string {
  const entries = list.split(',')
  return (entries[Math.max(0, entries.length - hops)] ?? '').trim()
}
