import { tokenDetail } from '../admission/token-refusals.js'
import type { TokenClaims } from '../token/claims.js'
import { readJws } from '../token/jws.js'
import type { TokenCheckName } from '../token/passed.js'
import type { TokenReason, TokenRefusal } from '../token/refusal.js'
import { parseStrictObject } from '../token/strict-json.js'

/** The findings about a token. */
export interface Explained {
  readonly text: string
  /** The checks that it passed, in order. */
  readonly passed: readonly TokenCheckName[]
  readonly outcome: TokenClaims | TokenRefusal
}

const meanings: Readonly<Record<TokenCheckName, string>> = {
  form: 'three parts, not too large, with a header that is understood',
  algorithm: 'one that its issuer may use',
  signature: 'by a key of its issuer',
  typ: 'a token of the right kind',
  user: 'it names its user',
  times: 'it has begun, and is not valid for too long',
  issuer: 'the right one, if one is required',
  audience: 'this server is among it, if one is required',
  session: 'it names its login session, or none',
  expiry: 'it has not expired',
  rights: 'what it permits is well formed',
  claims: 'those that its tickets carry fit, if there are any',
}

// More than clients are told: before its signature is verified, anybody may have made the token.
const unsigned: Partial<Record<TokenReason, string>> = {
  malformed:
    'It is not three parts in base64url, with JSON objects in valid UTF-8 that have each member once.',
  algorithm:
    'Its algorithm is unknown here, not allowed for its issuer, or does not fit the keys of its issuer.',
  critical: 'Its header has crit: it needs extensions that are unknown here.',
  key_unknown: 'Its issuer has no key of this name for this algorithm.',
  signature:
    'No key of its issuer made this signature: it was signed with another key, or changed afterwards.',
  issuer: 'Its iss is not an accepted issuer.',
}

/** Returns the explanation. It contains the claims of the token, never the token itself. */
export function explanation({ text, passed, outcome }: Explained): string {
  const lines = [
    ...headLines(text),
    '',
    ...passed.map(check => `ok  ${check.padEnd(width)} ${meanings[check]}`),
    ...('reason' in outcome ? refusalLines(outcome) : acceptedLines(outcome)),
  ]
  return `${lines.join('\n')}\n`
}

const width = 11

const line = (name: string, value: string): string => `${name.padEnd(width)} ${value}`

/** The claims of the token, verified or not. */
function headLines(text: string): readonly string[] {
  const jws = readJws(text)
  if (typeof jws === 'string') return [line('size', `${text.length} bytes`)]
  const { algorithm, kid } = jws.header
  const iss = parseStrictObject(jws.payload)?.iss
  return [
    line('issuer', typeof iss === 'string' ? shown(iss) : 'none'),
    line('algorithm', algorithm),
    line('key', kid === undefined ? 'not named' : shown(kid)),
    line('size', `${text.length} bytes`),
  ]
}

function refusalLines({ reason, hint }: TokenRefusal): readonly string[] {
  const detail = unsigned[reason] ?? tokenDetail(reason)
  return [
    `no  ${line(shown(reason), detail)}`,
    ...(hint === undefined ? [] : [line('', `hint: ${hint}`)]),
    '',
    'refused',
  ]
}

function acceptedLines(claims: TokenClaims): readonly string[] {
  const {
    user,
    session,
    issuedAtSeconds,
    expiresAtSeconds,
    publish,
    subscribe,
    unusableClaim,
    carried = {},
  } = claims
  return [
    `ok  ${line('revocation', 'neither its user nor its session was disconnected since')}`,
    '',
    line('user', shown(user)),
    line('session', session === undefined ? 'none' : shown(session)),
    line('issued', time(issuedAtSeconds)),
    line('expires', time(expiresAtSeconds)),
    line('publish', channels(publish)),
    line('subscribe', channels(subscribe)),
    ...(unusableClaim === undefined ? [] : [line('', unusableNote(unusableClaim))]),
    ...Object.entries(carried).map(([name, value]) =>
      line('carries', `${name}: ${shown(JSON.stringify(value))}`),
    ),
    '',
    'accepted',
  ]
}

const unusableNote = (claim: string): string =>
  `hint: patterns with \${${claim}} give nothing, since it is not a name without dots`

const time = (seconds: number): string => new Date(seconds * 1000).toISOString()

const channels = (patterns: readonly string[] | undefined): string =>
  patterns === undefined ? 'every channel' : patterns.length === 0 ? 'nothing' : patterns.join(' ')

/** Escapes a text of the token, so that it cannot control the terminal. */
const shown = (text: string): string =>
  text.replace(/[^\P{C}]/gu, character => `\\u{${character.codePointAt(0)?.toString(16)}}`)
