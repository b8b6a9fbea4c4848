import { type Algorithm, isAlgorithm } from './algorithms.js'
import { parseStrictObject } from './strict-json.js'

/** A token taken apart (RFC 7515 section 7.1). Nothing vouches for it until its signature is verified. */
export interface Jws {
  readonly header: JwsHeader
  /** What is signed: the first two parts and the dot between them. */
  readonly input: string
  readonly payload: string
  readonly signature: Buffer
}

export interface JwsHeader {
  readonly algorithm: Algorithm
  readonly kid: string | undefined
  /** Any value that the token has. */
  readonly typ: unknown
}

const compactPattern = /^[\w-]+\.[\w-]+\.[\w-]+$/

// All tokens of an issuer begin with one of a few headers, so those that were read are kept.
const knownHeaders = new Map<string, JwsHeader>()
const known = { headers: 64, length: 512 }

/**
 * Takes a token apart, all but its payload.
 * @returns why it cannot be verified, if its form or its header says so already
 */
export function readJws(token: string): Jws | 'malformed' | 'algorithm' | 'critical' {
  if (!compactPattern.test(token)) return 'malformed'
  const headerEnd = token.indexOf('.')
  const payloadEnd = token.lastIndexOf('.')
  const signature = decodeBase64url(token.slice(payloadEnd + 1))
  if (signature === undefined) return 'malformed'
  const part = token.slice(0, headerEnd)
  const header = knownHeaders.get(part) ?? readHeader(part)
  if (typeof header === 'string') return header
  return {
    header,
    input: token.slice(0, payloadEnd),
    payload: token.slice(headerEnd + 1, payloadEnd),
    signature,
  }
}

function readHeader(part: string): JwsHeader | 'malformed' | 'algorithm' | 'critical' {
  const members = decodeObject(part)
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

/** The JSON object in a part of a token, read as {@link parseStrictObject} reads. */
export function decodeObject(part: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = decodeBase64url(part)
  return bytes === undefined ? undefined : parseStrictObject(bytes)
}

/** The bytes of a part, if it is their one canonical text: no other characters, no stray last bits. */
function decodeBase64url(part: string): Buffer | undefined {
  const bytes = Buffer.from(part, 'base64url')
  return bytes.toString('base64url') === part ? bytes : undefined
}
