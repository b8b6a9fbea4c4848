import ipaddr from 'ipaddr.js'
import { type Address, readAddress } from '../ticket/address.js'

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** The address in `text`, or undefined. Takes what proxies write: brackets and ports included. */
export function parseAddress(text: string): Address | undefined {
  const bare =
    /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text
  return readAddress(bare)
}

/** An address as people write it. */
export const addressText = (address: Address): string => ipaddr.fromByteArray(Array.from(address)).toString()

/** How a limit per address counts: an IPv4 address, or an IPv6 /64, which is what one subscriber is given. */
export const addressKey = (address: Address): string =>
  String.fromCharCode(...(address.length === 16 ? address.subarray(0, 8) : address))

/** How addresses that one network may have are told from others: an IPv4 /24, or an IPv6 /48, which is what one site is given. */
export const networkKey = (address: Address): string =>
  String.fromCharCode(...address.subarray(0, address.length === 16 ? 6 : 3))

export interface TrustedProxies {
  /** Whether what this peer says of its clients counts. */
  has(peer: Address): boolean
  /**
   * The client behind `peer`: the last address of `X-Forwarded-For` that no trusted proxy has. Entries further left
   * were written by the client and prove nothing. An unreadable entry ends the search at the hop before it.
   */
  clientOf(peer: Address, forwardedFor: string): Address
  /** How many proxies of ours that request has passed, `peer` included: 1 or more where that is one. */
  hopsOf(peer: Address, forwardedFor: string): number
}

/** @param networks CIDRs or single addresses, validated before */
export function createTrustedProxies(networks: readonly string[]): TrustedProxies {
  const parsed = networks.map((text): Network => {
    const address = ipaddr.parse(text.replace(/\/.*$/, ''))
    const bits = text.includes('/') ? ipaddr.parseCIDR(text)[1] : address.toByteArray().length * 8
    // Peers are compared as IPv4 where they are that in IPv6 clothes, so networks are as well.
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
