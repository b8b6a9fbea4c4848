import { type Address, isInPrefix, normalize, prefixOf, readAddress } from './address.js'

/** An address as text, `203.0.113.9` or `2001:db8::1`, or as its 4 or 16 bytes. */
export type AddressLike = string | Uint8Array

/**
 * How many bits of an address count by default: all of IPv4; for IPv6 the /64 that a subscriber
 * gets.
 */
const usualBits = { v4: 32, v6: 64 }

function addressOf(value: unknown): Address | undefined {
  if (typeof value === 'string') return readAddress(value)
  return value instanceof Uint8Array && (value.length === 4 || value.length === 16)
    ? normalize(value)
    : undefined
}

/**
 * Packs a network in the form of a ticket. `value` is a CIDR (`203.0.113.0/24`), or an address,
 * which stands for its first `bits`. Returns undefined for anything else, and for an IPv6 network
 * larger than /33, which the format cannot express.
 */
export function packNetwork(
  value: unknown,
  bits: { readonly v4: number; readonly v6: number } = usualBits,
): Uint8Array | undefined {
  if (typeof value !== 'string' || !value.includes('/')) {
    const address = addressOf(value)
    return address && prefixOf(address, address.length === 4 ? bits.v4 : bits.v6)
  }
  const [, start = '', length = ''] = /^([^/]+)\/(\d{1,3})$/.exec(value) ?? []
  const address = readAddress(start)
  const [least, most] = start.includes(':') ? [33, 128] : [0, 32]
  if (address === undefined || Number(length) < least || Number(length) > most) return undefined
  return address.length === 4 && most === 128 ? undefined : prefixOf(address, Number(length))
}

/** Whether `value` is an address in a network of a ticket. False if it is not an address. */
export function isInNetwork(value: unknown, network: Uint8Array): boolean {
  const address = addressOf(value)
  return address !== undefined && isInPrefix(address, network)
}
