import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { Json } from './http.js'
import { base64url, claimsFor } from './tokens.js'

export type Algorithm =
  | `${'RS' | 'PS' | 'ES'}${'256' | '384' | '512'}`
  | 'EdDSA'
  /** Its name since RFC 9864. */
  | 'Ed25519'

/** An identity provider's key: the private half, and the public half that it publishes. */
export interface ProviderKey {
  readonly algorithm: Algorithm
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly jwk: Json
}

const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const

const pairOf = (algorithm: Algorithm, bits = 2048): { publicKey: KeyObject; privateKey: KeyObject } => {
  if (algorithm === 'EdDSA' || algorithm === 'Ed25519') return generateKeyPairSync('ed25519')
  if (algorithm === 'ES256' || algorithm === 'ES384' || algorithm === 'ES512')
    return generateKeyPairSync('ec', { namedCurve: curves[algorithm] })
  return generateKeyPairSync('rsa', { modulusLength: bits })
}

export const newKey = (algorithm: Algorithm, kid: string, members: Json = {}, bits = 2048): ProviderKey => {
  const { publicKey, privateKey } = pairOf(algorithm, bits)
  return {
    algorithm,
    kid,
    privateKey,
    publicKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: algorithm, ...members },
  }
}

const signatureOf = (algorithm: Algorithm, input: string, key: KeyObject): string => {
  const data = Buffer.from(input)
  const hash = `sha${algorithm.slice(2)}`
  const made =
    algorithm === 'EdDSA' || algorithm === 'Ed25519'
      ? sign(null, data, key)
      : algorithm.startsWith('ES')
        ? sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
        : algorithm.startsWith('PS')
          ? sign(hash, data, {
              key,
              padding: constants.RSA_PKCS1_PSS_PADDING,
              saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
            })
          : sign(hash, data, key)
  return made.toString('base64url')
}

/**
 * A token as the provider signs it; members of `claims` and `header` that are undefined are left
 * out.
 */
export const signedBy = (key: ProviderKey, claims: Json = {}, header: Json = {}): string => {
  const head = JSON.stringify({ alg: key.algorithm, typ: 'JWT', kid: key.kid, ...header })
  const input = `${base64url(head)}.${base64url(JSON.stringify({ ...claimsFor('maggie'), ...claims }))}`
  return `${input}.${signatureOf(key.algorithm, input, key.privateKey)}`
}

export type Answer = (response: ServerResponse, request: IncomingMessage) => void

export const jwks = (...keys: readonly { readonly jwk: Json }[]): Answer =>
  text(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }))

export const text =
  (
    body: string,
    status = 200,
    headers: Record<string, string> = { 'content-type': 'application/json' },
  ): Answer =>
  response =>
    void response.writeHead(status, headers).end(body)

export interface Provider {
  readonly url: string
  /** Its response from now on. */
  answer: Answer
  readonly asked: () => number
  /** Resolves at its next request. */
  nextAsked(): Promise<void>
  /** Ends it: connections are refused from then on. */
  stop(): Promise<void>
  /** Starts it again, on the same port. */
  restart(): Promise<void>
}

/** A real HTTP server with a JWK set. */
export const startProvider = async (t: Test, answer: Answer): Promise<Provider> => {
  let asked = 0
  let wake = (): void => {}
  let next = new Promise<void>(resolve => {
    wake = resolve
  })
  const server = createServer((request, response) => {
    provider.answer(response, request)
    asked++
    wake()
    next = new Promise(resolve => {
      wake = resolve
    })
  })
  const listen = async (port: number): Promise<number> => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const port = await listen(0)
  const provider: Provider = {
    url: `http://127.0.0.1:${port}/jwks.json`,
    answer,
    asked: () => asked,
    nextAsked: () => next,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
    async restart() {
      await listen(port)
    },
  }
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return provider
}
