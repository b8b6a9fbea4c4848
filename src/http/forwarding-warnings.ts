import type { Log } from '../telemetry/log.js'
import type { Address } from '../ticket/address.js'
import { addressText } from './address.js'
import type { RequestHead } from './request.js'

const fields = {
  'x-forwarded-for': 'forwardedFor',
  'x-forwarded-proto': 'forwardedProto',
  'x-forwarded-host': 'forwardedHost',
  forwarded: 'forwarded',
} as const

/**
 * Warns, once each, that forwarding headers are ignored. Otherwise, all clients would silently
 * share the address of the proxy, and the limits per address.
 */
export class ForwardingWarnings {
  readonly #log: Log
  #warnedOfPeer = false
  #warnedOfProxyHeader = false
  #warnedOfSilentProxy = false

  constructor(log: Log) {
    this.#log = log
  }

  /** A request of a peer that is not a trusted proxy. */
  untrustedPeer(head: RequestHead, peer: Address): void {
    if (this.#warnedOfPeer) return
    const field = Object.entries(fields).find(([, property]) => head[property] !== '')?.[0]
    if (field === undefined) return
    this.#warnedOfPeer = true
    this.#log.warn(
      { peer: addressText(peer), field },
      'this peer forwards for others, but it is not in TICKETGATE_TRUSTED_PROXIES, so all of them count as one address; if it is your proxy, add it',
    )
  }

  /** A PROXY header of such a peer, which is refused. */
  untrustedProxyHeader(peer: Address): void {
    if (this.#warnedOfProxyHeader) return
    this.#warnedOfProxyHeader = true
    this.#log.warn(
      { peer: addressText(peer) },
      'this peer speaks the PROXY protocol, but it is not in TICKETGATE_TRUSTED_PROXIES, so it is refused; if it is your balancer, add it',
    )
  }

  /** A request of a trusted proxy without `X-Forwarded-For`. */
  silentProxy(head: RequestHead, peer: Address): void {
    if (this.#warnedOfSilentProxy || head.forwarded === '') return
    this.#warnedOfSilentProxy = true
    this.#log.warn(
      { peer: addressText(peer) },
      'this proxy names its clients in Forwarded (RFC 7239), which is not read; let it send X-Forwarded-For, -Proto and -Host',
    )
  }
}
