import ipaddr from 'ipaddr.js'
import { type Address, readAddress } from '../ticket/address.js'

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number]

/**
 * Parses an address as proxies write it, with brackets or a port. Returns undefined if it is none.
 */
export function parseAddress(text: string): Address | undefined {
  const bare =
    /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text
  return readAddress(bare)
}

/** Formats an address; '' if it is empty, as that of a peer is that has reset its connection. */
export const addressText = (address: Address): string =>
  address.length === 0 ? '' : ipaddr.fromByteArray(Array.from(address)).toString()

/**
 * The key of an address for limits: the IPv4 address, or the IPv6 /64, which one subscriber gets.
 */
export const addressKey = (address: Address): string =>
  String.fromCharCode(...(address.length === 16 ? address.subarray(0, 8) : address))

/** The key of an address's network: the IPv4 /24, or the IPv6 /48, which one site gets. */
export const networkKey = (address: Address): string =>
  String.fromCharCode(...address.subarray(0, address.length === 16 ? 6 : 3))

export interface TrustedProxies {
  /** Whether this peer is trusted to name its clients. */
  has(peer: Address): boolean
  /**
   * The client behind `peer`: the last address in `X-Forwarded-For` that is not a trusted proxy.
   * Entries further left come from the client and prove nothing. An unreadable entry ends the
   * search at the hop before it.
   */
  clientOf(peer: Address, forwardedFor: string): Address
  /** How many trusted proxies the request has passed, including `peer`. */
  hopsOf(peer: Address, forwardedFor: string): number
}

/** @param networks CIDRs or single addresses, validated before */
export function createTrustedProxies(networks: readonly string[]): TrustedProxies {
  const parsed = networks.map((text): Network => {
    const address = ipaddr.parse(text.replace(/\/.*$/, ''))
    const bits = text.includes('/') ? ipaddr.parseCIDR(text)[1] : address.toByteArray().length * 8
    // Compares IPv4-mapped peers as IPv4, so networks are treated the same way.
    return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= 96
      ? [address.toIPv4Address(), bits - 96]
      : [address, bits]
  })

  const has = (peer: Address): boolean => {
    const address = ipaddr.fromByteArray(Array.from(peer))
    return parsed.some(([network, bits]) => network.kind() === address.kind() && address.match(network, bits))
  }

  function walk(peer: Address, forwardedFor: string): { readonly client: Address; readonly hops: number } {
    let client = peer
    let hops = 0
    const entries = forwardedFor === '' ? [] : forwardedFor.split(',')
    while (has(client)) {
      hops++
      const entry = entries.pop()
      const address = entry === undefined ? undefined : parseAddress(entry.trim())
      if (address === undefined) break
      client = address
    }
    return { client, hops }
  }

  return {
    has,
    clientOf: (peer, forwardedFor) => walk(peer, forwardedFor).client,
    hopsOf: (peer, forwardedFor) => walk(peer, forwardedFor).hops,
  }
}
