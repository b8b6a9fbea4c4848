import ipaddr from 'ipaddr.js'

/** An address as bytes: 4 for IPv4 (mapped ones included), 16 for IPv6. */
export type Address = Uint8Array

type Network = [ipaddr.IPv4 | ipaddr.IPv6, number]

const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 &&
  bytes[10] === 0xff &&
  bytes[11] === 0xff &&
  bytes.subarray(0, 10).every(byte => byte === 0)

/** IPv4 in IPv6 clothes (RFC 4291 section 2.5.5.2) is IPv4. */
export const normalize = (bytes: Uint8Array): Address => (isMapped(bytes) ? bytes.slice(12) : bytes)

/** The address in `text`, or undefined. Takes what proxies write: brackets and ports included. */
export function parseAddress(text: string): Address | undefined {
  const bare =
    /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text
  const isPlain = bare.includes(':') ? ipaddr.IPv6.isValid(bare) : ipaddr.IPv4.isValidFourPartDecimal(bare)
  if (!isPlain) return undefined
  return normalize(Uint8Array.from(ipaddr.parse(bare).toByteArray()))
}

/** An address as people write it. */
export const addressText = (address: Address): string => ipaddr.fromByteArray(Array.from(address)).toString()

/** How a limit per address counts: an IPv4 address, or an IPv6 /64, which is what one subscriber is given. */
export const addressKey = (address: Address): string =>
  String.fromCharCode(...(address.length === 16 ? address.subarray(0, 8) : address))

/** The first `bits` of an address (IPv6: more than 32, so that the length tells the family): their number, then as many bytes as they need, the rest of them zero. */
export function addressPrefix(
  address: Address,
  bits: { readonly v4: number; readonly v6: number },
): Uint8Array {
  const length = address.length === 4 ? bits.v4 : bits.v6
  const prefix = new Uint8Array(1 + Math.ceil(length / 8))
  prefix[0] = length
  prefix.set(address.subarray(0, prefix.length - 1), 1)
  const spare = prefix.length * 8 - 8 - length
  const last = prefix[prefix.length - 1]
  if (prefix.length > 1 && last !== undefined) prefix[prefix.length - 1] = last & (0xff << spare)
  return prefix
}

/** Whether `address` lies in the network of `prefix`. Up to 32 bits mean IPv4, more mean IPv6. */
export function isInPrefix(address: Address, prefix: Uint8Array): boolean {
  const bits = prefix[0] ?? 0
  if (bits > 32 !== (address.length === 16)) return false
  const own = addressPrefix(address, { v4: bits, v6: bits })
  return own.length === prefix.length && own.every((byte, index) => byte === prefix[index])
}

export interface TrustedProxies {
  /** Whether what this peer says of its clients counts. */
  has(peer: Address): boolean
  /**
   * The client behind `peer`: the last address of `X-Forwarded-For` that no trusted proxy has. Entries further left
   * were written by the client and prove nothing. An unreadable entry ends the search at the hop before it.
   */
  clientOf(peer: Address, forwardedFor: string): Address
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

  return {
    has,
    clientOf(peer, forwardedFor) {
      let client = peer
      const hops = forwardedFor === '' ? [] : forwardedFor.split(',')
      while (has(client)) {
        const hop = hops.pop()
        const address = hop === undefined ? undefined : parseAddress(hop.trim())
        if (address === undefined) break
        client = address
      }
      return client
    },
  }
}
