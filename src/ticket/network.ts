import { type Address, isInPrefix, normalize, prefixOf, readAddress } from './address.js'

/** An address as text, `203.0.113.9` or `2001:db8::1`, or as its 4 or 16 bytes. */
export type AddressLike = string | Uint8Array

/** How much of an address counts where nothing is said: all of IPv4; of IPv6 the /64 that one subscriber is given. */
const usualBits = (address: Address): number => (address.length === 4 ? 32 : 64)

function addressOf(value: unknown): Address | undefined {
  if (typeof value === 'string') return readAddress(value)
  return value instanceof Uint8Array && (value.length === 4 || value.length === 16)
    ? normalize(value)
    : undefined
}

/**
 * The network that `value` means, as a ticket has it: a CIDR (`203.0.113.0/24`), or an address, of which the usual part
 * counts: /32 or /64. Undefined when it is neither, or an IPv6 network larger than /33, which the format can not hold.
 */
export function packNetwork(value: unknown): Uint8Array | undefined {
  if (typeof value !== 'string' || !value.includes('/')) {
    const address = addressOf(value)
    return address && prefixOf(address, usualBits(address))
  }
  const [, start = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(value) ?? []
  const address = readAddress(start)
  const [least, most] = start.includes(':') ? [33, 128] : [0, 32]
  if (address === undefined || Number(bits) < least || Number(bits) > most) return undefined
  return address.length === 4 && most === 128 ? undefined : prefixOf(address, Number(bits))
}

/** Whether `value` is an address in a network as a ticket has it. What is no address lies nowhere. */
export function isInNetwork(value: unknown, network: Uint8Array): boolean {
  const address = addressOf(value)
  return address !== undefined && isInPrefix(address, network)
}
