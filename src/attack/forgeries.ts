import { createHmac } from 'node:crypto'

const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

const replaced = (text: string, at: number, digit: string): string =>
  text.slice(0, at) + digit + text.slice(at + 1)

/** A credential truncated in several places. */
export const truncated = (credential: string): string[] =>
  [credential.length - 1, credential.length - 2, credential.length >> 1, 16, 1].map(length =>
    credential.slice(0, length),
  )

/** A credential with one changed character, in up to 48 places. */
export function altered(credential: string): string[] {
  const step = Math.max(1, Math.floor(credential.length / 48))
  const forged: string[] = []
  for (let at = 0; at < credential.length; at += step) {
    const digit = digits.indexOf(credential[at] ?? '')
    // The low bits of the last digit may be padding, so this flips its highest one.
    if (digit >= 0) forged.push(replaced(credential, at, digits[digit ^ 32] ?? 'A'))
  }
  return forged
}

/**
 * Texts that a lax decoder of base64url or of URLs reads as the same credential (RFC 4648 sections
 * 3.5 and 4).
 */
export function otherSpellings(credential: string): string[] {
  const last = digits.indexOf(credential.at(-1) ?? '')
  const tails = last < 0 ? [] : [1, 2, 3].map(bits => credential.slice(0, -1) + (digits[last ^ bits] ?? 'A'))
  const first = credential.charCodeAt(0).toString(16)
  return [
    ...tails,
    `${credential}=`,
    `${credential}==`,
    `${credential}%20`,
    `%20${credential}`,
    `${credential}%00`,
    `%${first}${credential.slice(1)}`,
    credential.replaceAll('-', '%2B').replaceAll('_', '%2F'),
  ].filter(text => text !== credential)
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The JSON object in a part of a JWT; undefined if there is none. */
function decoded(part: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? '', 'base64url').toString())
    return typeof value === 'object' && value !== null ? { ...value } : undefined
  } catch {
    return undefined
  }
}

/**
 * Tokens with the claims of a valid one, and for another user, made without its key (RFC 8725
 * section 2).
 */
export function forgedTokens(token: string): { readonly how: string; readonly token: string }[] {
  const [head, body, signature = ''] = token.split('.')
  const [header, claims] = [decoded(head), decoded(body)]
  if (header === undefined || claims === undefined) return []
  const payload = encoded({ ...claims, sub: 'admin' })
  const signed = (header: object, key: string): string => {
    const text = `${encoded(header)}.${body}`
    return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`
  }
  return [
    ...['none', 'None', 'NONE'].map(alg => ({
      how: `with the algorithm ${alg}`,
      token: `${encoded({ ...header, alg })}.${body}.`,
    })),
    {
      how: 'with the algorithm none and the old signature',
      token: `${encoded({ ...header, alg: 'none' })}.${body}.${signature}`,
    },
    { how: 'without a signature', token: `${head}.${body}.` },
    { how: 'with the claims of another user', token: `${head}.${payload}.${signature}` },
    ...['', 'secret', 'changeme', 'your-256-bit-secret'].map(key => ({
      how: `signed with the key ${JSON.stringify(key)}`,
      token: signed({ ...header, alg: 'HS256' }, key),
    })),
    {
      how: 'with a key of its own in the header',
      token: signed({ alg: 'HS256', jwk: { kty: 'oct', k: 'c2VjcmV0' } }, 'secret'),
    },
  ]
}
