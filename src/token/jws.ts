import { type Algorithm, isAlgorithm } from './algorithms.js'
import { parseStrictObject } from './strict-json.js'

/**
 * A token taken apart (RFC 7515 section 7.1). Nothing vouches for it until its signature is
 * verified.
 */
export interface Jws {
  readonly header: JwsHeader
  /** The signed text: the first two parts and the dot between them. */
  readonly input: string
  /** Its bytes, not yet parsed. */
  readonly payload: Buffer
  readonly signature: Buffer
}

export interface JwsHeader {
  readonly algorithm: Algorithm
  readonly kid: string | undefined
  /** Any value that the token has. */
  readonly typ: unknown
}

// The payload may be empty (RFC 7515); what needs claims refuses it.
const compactPattern = /^[\w-]+\.[\w-]*\.[\w-]+$/

// All tokens of an issuer start with one of a few headers, so parsed ones are cached.
const knownHeaders = new Map<string, JwsHeader>()
const known = { headers: 64, length: 512 }

/**
 * Takes a token apart. Its payload is decoded, but not parsed.
 * @returns why it cannot be verified, if its form or its header says so already
 */
export function readJws(token: string): Jws | 'malformed' | 'algorithm' | 'critical' {
  if (!compactPattern.test(token)) return 'malformed'
  const headerEnd = token.indexOf('.')
  const payloadEnd = token.lastIndexOf('.')
  const payload = decodeBase64url(token.slice(headerEnd + 1, payloadEnd))
  const signature = decodeBase64url(token.slice(payloadEnd + 1))
  if (payload === undefined || signature === undefined) return 'malformed'
  const part = token.slice(0, headerEnd)
  const header = knownHeaders.get(part) ?? readHeader(part)
  if (typeof header === 'string') return header
  return {
    header,
    input: token.slice(0, payloadEnd),
    payload,
    signature,
  }
}

function readHeader(part: string): JwsHeader | 'malformed' | 'algorithm' | 'critical' {
  const bytes = decodeBase64url(part)
  const members = bytes && parseStrictObject(bytes)
  if (members === undefined) return 'malformed'
  const { alg, kid, typ, crit } = members
  if (!isAlgorithm(alg)) return 'algorithm'
  const isNamed = kid !== undefined && kid !== null
  if (isNamed && typeof kid !== 'string') return 'malformed'
  if (crit !== undefined) return 'critical'
  const header = { algorithm: alg, kid: isNamed ? kid : undefined, typ }
  if (knownHeaders.size >= known.headers) knownHeaders.clear()
  if (part.length <= known.length) knownHeaders.set(part, header)
  return header
}

/**
 * The bytes of a part, if it is their one canonical text: no other characters, no stray last bits.
 */
function decodeBase64url(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
}
