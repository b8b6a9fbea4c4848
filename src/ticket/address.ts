import ipaddr from 'ipaddr.js'

/** An address as bytes: 4 for IPv4 (mapped ones included), 16 for IPv6. */
export type Address = Uint8Array

const isMapped = (bytes: Uint8Array): boolean =>
  bytes.length === 16 &&
  bytes[10] === 0xff &&
  bytes[11] === 0xff &&
  bytes.subarray(0, 10).every(byte => byte === 0)

/** An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) counts as IPv4. */
export const normalize = (bytes: Uint8Array): Address => (isMapped(bytes) ? bytes.slice(12) : bytes)

/** Parses an address without brackets or port; undefined if `text` is not one. */
export function readAddress(text: string): Address | undefined {
  const isAddress = text.includes(':') ? ipaddr.IPv6.isValid(text) : ipaddr.IPv4.isValidFourPartDecimal(text)
  return isAddress ? normalize(Uint8Array.from(ipaddr.parse(text).toByteArray())) : undefined
}

/**
 * The first `bits` of an address in the form of a ticket (FORMAT.md, claim `a`): the number of
 * bits, then as many bytes as they need, with the spare bits zero. IPv6 prefixes have more than 32
 * bits, so the length tells the family.
 */
export function prefixOf(address: Address, bits: number): Uint8Array {
  const prefix = new Uint8Array(1 + Math.ceil(bits / 8))
  prefix[0] = bits
  prefix.set(address.subarray(0, prefix.length - 1), 1)
  const spare = prefix.length * 8 - 8 - bits
  const last = prefix[prefix.length - 1]
  if (prefix.length > 1 && last !== undefined) prefix[prefix.length - 1] = last & (0xff << spare)
  return prefix
}

/** Whether `address` lies in the network of `prefix`. Up to 32 bits mean IPv4, more mean IPv6. */
export function isInPrefix(address: Address, prefix: Uint8Array): boolean {
  const bits = prefix[0] ?? 0
  if (bits > 32 !== (address.length === 16)) return false
  const own = prefixOf(address, bits)
  return own.length === prefix.length && own.every((byte, index) => byte === prefix[index])
}
