import { Refusal } from '../errors.js'
import type { Address } from '../ticket/address.js'
import { parseAddress, type TrustedProxies } from './address.js'
import type { Exchange } from './exchange.js'
import type { ForwardingWarnings } from './forwarding-warnings.js'

export interface ClientViewOptions {
  readonly proxies: TrustedProxies
  readonly publicUrl: string | undefined
  readonly tls: boolean
  /**
   * Whether clients connect through a Unix socket: then the peer is a proxy, and the mode of the
   * socket restricts which.
   */
  readonly isUnix: boolean
  readonly warnings: ForwardingWarnings
}

const hostPattern = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

/** The address of a request over a Unix socket whose proxy does not name one. */
const thisMachine: Address = new Uint8Array([127, 0, 0, 1])

const gone = (): Refusal => new Refusal('bad_request', { detail: 'The connection is gone.' })

/** Traefik sends the WebSocket schemes for handshakes. */
const schemes: Readonly<Record<string, string>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' }

/**
 * What the connection and trusted proxies say about the client. Use it in the handler of the
 * request.
 */
export class ClientView {
  readonly #proxies: TrustedProxies
  readonly #publicOrigin: string | undefined
  readonly #ownScheme: 'http' | 'https'
  readonly #isUnix: boolean
  readonly #warnings: ForwardingWarnings

  constructor({ proxies, publicUrl, tls, isUnix, warnings }: ClientViewOptions) {
    this.#proxies = proxies
    this.#publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin
    this.#ownScheme = tls ? 'https' : 'http'
    this.#isUnix = isUnix
    this.#warnings = warnings
  }

  /** @throws Refusal `bad_request` for a PROXY header from a peer that is not trusted */
  address(exchange: Exchange): Address {
    if (this.#isUnix) return this.#forwarded(exchange).address
    const peer = this.#clientAt(exchange)
    if (!this.#proxies.has(peer)) return peer
    const { forwardedFor } = exchange.head
    if (forwardedFor === '') this.#warnings.silentProxy(exchange.head, peer)
    return this.#proxies.clientOf(peer, forwardedFor)
  }

  /**
   * The server's scheme, host and port as the client sees them, serialised as an origin; '' if
   * unknown.
   * @throws Refusal `bad_request` as `address`
   */
  ownOrigin(exchange: Exchange): string {
    if (this.#publicOrigin !== undefined) return this.#publicOrigin
    const { head } = exchange
    let scheme: string = this.#ownScheme
    let { host } = head
    const hops = this.#isUnix ? this.#forwarded(exchange).hops : this.#hopsTo(exchange)
    if (hops > 0) {
      scheme = entryOf(head.forwardedProto, hops).toLowerCase() || scheme
      host = entryOf(head.forwardedHost, hops) || host
    }
    const known = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
    const url = `${known}://${host}`
    return known !== undefined && hostPattern.test(host) && URL.canParse(url) ? new URL(url).origin : ''
  }

  /**
   * The refusal that `address` and `ownOrigin` would throw, at less cost, for requests that need
   * neither.
   */
  proxyRefusal(exchange: Exchange): Refusal | undefined {
    if (this.#isUnix || exchange.proxied().length === 0) return undefined
    const peer = exchange.peer()
    if (peer.length === 0) return gone()
    return this.#proxies.has(peer) ? undefined : this.#refuseProxy(peer)
  }

  /** How many trusted proxies the request has passed. */
  #hopsTo(exchange: Exchange): number {
    const peer = this.#clientAt(exchange)
    return this.#proxies.has(peer) ? this.#proxies.hopsOf(peer, exchange.head.forwardedFor) : 0
  }

  /** Trusts the proxy at the other end of a Unix socket, and trusted proxies before it. */
  #forwarded({ head }: Exchange): { readonly address: Address; readonly hops: number } {
    const entries = head.forwardedFor.split(',')
    const client = parseAddress((entries.pop() ?? '').trim())
    if (client === undefined) return { address: thisMachine, hops: 1 }
    const before = entries.join()
    return {
      address: this.#proxies.clientOf(client, before),
      hops: this.#proxies.has(client) ? 1 + this.#proxies.hopsOf(client, before) : 1,
    }
  }

  /**
   * The address at the other end: the peer's, or the one that a trusted peer names in a PROXY
   * header (version 2; the engine reads it before any request, and the last one counts).
   * @throws Refusal for such a header from any other peer, or if the connection is gone
   */
  #clientAt(exchange: Exchange): Address {
    const peer = exchange.peer()
    if (peer.length === 0) throw gone()
    const isTrusted = this.#proxies.has(peer)
    if (!isTrusted) this.#warnings.untrustedPeer(exchange.head, peer)
    const named = exchange.proxied()
    if (named.length === 0) return peer
    if (!isTrusted) throw this.#refuseProxy(peer)
    return named
  }

  #refuseProxy(peer: Address): Refusal {
    this.#warnings.untrustedProxyHeader(peer)
    return new Refusal('bad_request', {
      detail: 'The PROXY protocol is accepted from trusted proxies only.',
    })
  }
}

/**
 * The entry of a list that the outermost trusted proxy wrote: `hops` from its end. Some proxies
 * replace the list instead of appending to it, so it may be shorter. Entries further left may be
 * the client's.
 */
function entryOf(list: string, hops: number): string {
  const entries = list.split(',')
  return (entries[Math.max(0, entries.length - hops)] ?? '').trim()
}
