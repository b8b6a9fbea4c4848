import { randomUUID } from 'node:crypto'
import { createDecoder, createSigner } from 'fast-jwt'

/** The shape of a login token, so that more can be signed without logging in. */
export interface TokenShape {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** Returns `count` tokens, all different from each other and from earlier ones. */
export type TokenSource = (count: number) => string[]

const defaultLifetimeSeconds = 900

/** For a floor that runs alone: a token of a plausible size. */
export const plainTokenShape: TokenShape = {
  header: { alg: 'HS256', typ: 'JWT' },
  claims: { sub: 'bench', jti: randomUUID() },
}

export const tokenShapeOf = (token: string): TokenShape => {
  const { header, payload } = createDecoder({ complete: true })(token) as {
    header: Record<string, unknown>
    payload: Record<string, unknown>
  }
  return { header, claims: payload }
}

/** Signs tokens of the given shape with the server's secret, as the server's own login would. */
export const tokenSource = (
  shape: TokenShape,
  secret: string,
  lifetimeSeconds = defaultLifetimeSeconds,
): TokenSource => {
  const { typ } = shape.header
  const sign = createSigner({
    key: secret,
    algorithm: 'HS256',
    ...(typeof typ === 'string' ? { header: { alg: 'HS256', typ } } : {}),
  })
  return count => {
    const iat = Math.floor(Date.now() / 1000)
    const exp = iat + lifetimeSeconds
    return Array.from({ length: count }, () => sign({ ...shape.claims, iat, exp, jti: randomUUID() }))
  }
}
