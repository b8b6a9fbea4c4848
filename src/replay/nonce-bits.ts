// A multiplication by it spreads the bits of a number over the upper ones (Knuth, TAOCP 6.4).
const golden = 0x9e3779b1

/** Half of a nonce, mixed to 32 bits. */
export const mixOf = (nonce: string): number => Math.imul(partOf(nonce, 0) ^ partOf(nonce, 8), golden) >>> 0

/** The other half, as 32 bits. */
export const restOf = (nonce: string): number => partOf(nonce, 4) ^ partOf(nonce, 12)

/** All of a nonce, mixed to 32 bits: nonces that are counted up spread evenly too. */
export const spreadOf = (nonce: string): number =>
  Math.imul(partOf(nonce, 0) ^ partOf(nonce, 4) ^ partOf(nonce, 8) ^ partOf(nonce, 12), golden) >>> 0

/** Four characters of a nonce as 32 bits. */
const partOf = (nonce: string, at: number): number =>
  nonce.charCodeAt(at) |
  (nonce.charCodeAt(at + 1) << 8) |
  (nonce.charCodeAt(at + 2) << 16) |
  (nonce.charCodeAt(at + 3) << 24)
