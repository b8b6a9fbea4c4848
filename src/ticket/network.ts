import ipaddr from 'ipaddr.js'

/** An address as text, `203.0.113.9` or `2001:db8::1`, or as its 4 or 16 bytes. */
export type AddressLike = string | Uint8Array

/** How much of an address counts where nothing is said: all of IPv4; of IPv6 the /64 that one subscriber is given. */
const usualBits = { ipv4: 32, ipv6: 64 } as const

type Address = ipaddr.IPv4 | ipaddr.IPv6

/** IPv4 in IPv6 clothes (RFC 4291 section 2.5.5.2) is IPv4. */
function readAddress(address: unknown): Address | undefined {
  if (typeof address === 'string') {
    const isAddress = address.includes(':')
      ? ipaddr.IPv6.isValid(address)
      : ipaddr.IPv4.isValidFourPartDecimal(address)
    return isAddress ? ipaddr.process(address) : undefined
  }
  if (!(address instanceof Uint8Array) || (address.length !== 4 && address.length !== 16)) return undefined
  const read = ipaddr.fromByteArray(Array.from(address))
  return read instanceof ipaddr.IPv6 && read.isIPv4MappedAddress() ? read.toIPv4Address() : read
}

/** The first `bits` of an address as a ticket has them (FORMAT.md, claim `a`). */
function prefixOf(address: Address, bits: number): Uint8Array {
  const family = address instanceof ipaddr.IPv4 ? ipaddr.IPv4 : ipaddr.IPv6
  const bare = ipaddr.fromByteArray(address.toByteArray()).toString()
  const network = family.networkAddressFromCIDR(`${bare}/${bits}`).toByteArray()
  return Uint8Array.of(bits, ...network.slice(0, Math.ceil(bits / 8)))
}

/**
 * The network that `text` means, as a ticket has it: a CIDR (`203.0.113.0/24`), or an address, of which the usual part
 * counts: /32 or /64. Undefined when it is neither, or an IPv6 network larger than /33, which the format can not hold.
 */
export function packNetwork(text: unknown): Uint8Array | undefined {
  if (typeof text !== 'string' || !text.includes('/')) {
    const address = readAddress(text)
    return address && prefixOf(address, usualBits[address.kind()])
  }
  const [, start = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? []
  const address = readAddress(start)
  const [least, most] = start.includes(':') ? [33, 128] : [0, 32]
  if (address === undefined || Number(bits) < least || Number(bits) > most) return undefined
  return address.kind() === 'ipv4' && most === 128 ? undefined : prefixOf(address, Number(bits))
}

/** Whether `address` lies in a network as a ticket has it. What is no address lies nowhere. */
export function isInNetwork(address: unknown, network: Uint8Array): boolean {
  const read = readAddress(address)
  const bits = network[0] ?? 0
  if (read === undefined || read.kind() !== (bits > 32 ? 'ipv6' : 'ipv4')) return false
  return Buffer.compare(prefixOf(read, bits), network) === 0
}
