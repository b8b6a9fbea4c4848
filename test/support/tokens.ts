import { createHmac } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { jwtSecret } from './fixtures.js'
import { bearer, type Json, jsonOf, type RequestOptions, request } from './http.js'

export const nowSeconds = (): number => Math.floor(Date.now() / 1000)

/** Resolves when the system clock has reached a time in Unix seconds. */
export const untilSecond = async (second: number): Promise<void> => {
  while (nowSeconds() < second) await delay(second * 1000 - Date.now())
}

/** Resolves in the next second of the system clock. */
export const nextSecond = (): Promise<void> => untilSecond(nowSeconds() + 1)

export const base64url = (text: string): string => Buffer.from(text).toString('base64url')

/**
 * A JWT from the exact text of its two halves, so that a test can write what no serialiser would.
 */
export const signText = (header: string, payload: string, secret = jwtSecret, hash = 'sha256'): string => {
  const input = `${base64url(header)}.${base64url(payload)}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}

export const claimsFor = (user: string): Json => {
  const now = nowSeconds()
  return { sub: user, iat: now, exp: now + 600 }
}

/** A valid token of the given user; `claims` replaces single claims, `undefined` removes one. */
export const tokenFor = (user: string, claims: Json = {}, header: Json = {}): string =>
  signText(
    JSON.stringify({ alg: 'HS256', typ: 'JWT', ...header }),
    JSON.stringify({ ...claimsFor(user), ...claims }),
  )

export interface Minted {
  readonly ticket: string
  readonly expires: number
  readonly url?: string
  readonly session?: string
  readonly sessionExpires?: number
}

/** Gets a ticket for a token. Throws the complete reply if there is none. */
export const mintWith = async (
  base: string,
  token: string,
  channel?: string,
  options: RequestOptions = {},
): Promise<Minted> => {
  const query = channel === undefined ? '' : `?channel=${channel}`
  const reply = await request(base, `/ws_ticket${query}`, {
    ...options,
    headers: { ...bearer(token), ...options.headers },
  })
  if (reply.status !== 200) throw new Error(`no ticket: ${reply.status} ${reply.text}`)
  return jsonOf(reply) as unknown as Minted
}

/** A ticket of the given user, for one channel or for any. */
export const mint = async (base: string, user = 'maggie', channel?: string): Promise<string> =>
  (await mintWith(base, tokenFor(user), channel)).ticket

export const gatePath = (ticket: string, channel = ''): string => `/channel/${channel}?ticket=${ticket}`
