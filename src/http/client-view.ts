import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import { Refusal } from '../errors.js'
import { type Address, normalize } from '../ticket/address.js'
import type { TrustedProxies } from './address.js'
import type { ForwardingWarnings } from './forwarding-warnings.js'
import { fieldValues } from './request.js'

/** What the connection and trusted proxies say of the client. Call it before the handler returns. */
export interface ClientView {
  /** @throws Refusal `bad_request` for a PROXY header from a peer that is not trusted */
  address(res: HttpResponse, req: HttpRequest): Address
  /**
   * Our scheme, host and port as the client sees them, serialised as an origin; '' when unknown.
   * @throws Refusal `bad_request` as `address`
   */
  ownOrigin(res: HttpResponse, req: HttpRequest): string
  /** Why a request that asks for neither is refused: for the same. Cheaper than these. */
  proxyRefusal(res: HttpResponse): Refusal | undefined
}

export interface ClientViewOptions {
  readonly proxies: TrustedProxies
  readonly publicUrl: string | undefined
  readonly tls: boolean
  readonly warnings: ForwardingWarnings
}

const hostPattern = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/

/** Traefik names the scheme of a handshake as that of WebSockets. */
const schemes: Readonly<Record<string, string>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' }

export function createClientView({ proxies, publicUrl, tls, warnings }: ClientViewOptions): ClientView {
  const publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin

  /**
   * Who is at the other end: the peer, or whom a trusted one names in a PROXY header (version 2;
   * the engine takes that before any request, and the last one counts).
   * @throws Refusal for such a header from anybody else, or when the connection is gone
   */
  function clientAt(res: HttpResponse, req: HttpRequest): Address {
    const peer = peerOf(res)
    if (peer.length === 0) throw new Refusal('bad_request', { detail: 'The connection is gone.' })
    const isTrusted = proxies.has(peer)
    if (!isTrusted) warnings.ofStranger(req, peer)
    const named = res.getProxiedRemoteAddress()
    if (named.byteLength === 0) return peer
    if (!isTrusted) throw refuseProxy(peer)
    return normalize(new Uint8Array(named).slice())
  }

  function refuseProxy(peer: Address): Refusal {
    warnings.ofStrangersProxyHeader(peer)
    return new Refusal('bad_request', {
      detail: 'The PROXY protocol is accepted from trusted proxies only.',
    })
  }

  return {
    address(res, req) {
      const peer = clientAt(res, req)
      if (!proxies.has(peer)) return peer
      const forwardedFor = fieldValues(req, 'x-forwarded-for').join(',')
      if (forwardedFor === '') warnings.ofSilentProxy(req, peer)
      return proxies.clientOf(peer, forwardedFor)
    },
    ownOrigin(res, req) {
      if (publicOrigin !== undefined) return publicOrigin
      let scheme = tls ? 'https' : 'http'
      let host = req.getHeader('host')
      const peer = clientAt(res, req)
      if (proxies.has(peer)) {
        const hops = proxies.hopsOf(peer, fieldValues(req, 'x-forwarded-for').join(','))
        scheme = entryOf(fieldValues(req, 'x-forwarded-proto'), hops).toLowerCase() || scheme
        host = entryOf(fieldValues(req, 'x-forwarded-host'), hops) || host
      }
      const known = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
      const url = `${known}://${host}`
      return known !== undefined && hostPattern.test(host) && URL.canParse(url) ? new URL(url).origin : ''
    },
    proxyRefusal(res) {
      if (res.getProxiedRemoteAddress().byteLength === 0) return undefined
      const peer = peerOf(res)
      return proxies.has(peer) ? undefined : refuseProxy(peer)
    },
  }
}

/** Empty where the client has reset the connection. */
const peerOf = (res: HttpResponse): Address => normalize(new Uint8Array(res.getRemoteAddress()).slice())

/**
 * The entry of a list that the outermost of our proxies wrote, `hops` from its end. A proxy that
 * does not append replaces, so a list may be shorter than the way; the client may have written
 * what is further left.
 */
function entryOf(values: readonly string[], hops: number): string {
  const entries = values.join(',').split(',')
  return (entries[Math.max(0, entries.length - hops)] ?? '').trim()
}
