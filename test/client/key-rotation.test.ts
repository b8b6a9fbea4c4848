import { setTimeout as after } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startFront } from '../support/front.js'
import { connectTo, type Recorded } from '../support/gate-client.js'
import { bearer, request } from '../support/http.js'
import { type Answer, jwks, newKey, type ProviderKey, signedBy, startProvider } from '../support/provider.js'
import { startServer } from '../support/server.js'
import { nowSeconds, tokenFor } from '../support/tokens.js'

const clients = 50
const claims = { iss: 'https://id.example', aud: 'gate' }

/** A provider that is slow to return its key set. */
const slowly =
  (ms: number, ...keys: readonly ProviderKey[]): Answer =>
  (response, request) =>
    void after(ms).then(() => jwks(...keys)(response, request))

/** Rotates the provider's keys, cuts all connections, and checks that all clients return. */
async function rotate(t: Test, ms: number, disturb: (base: string) => Promise<unknown>): Promise<void> {
  const [oldKey, freshKey] = [newKey('ES256', 'old'), newKey('ES256', 'fresh')]
  const provider = await startProvider(t, jwks(oldKey))
  const server = await startServer(t, {
    env: {
      TICKETGATE_JWKS_URL: provider.url,
      TICKETGATE_JWT_ISSUER: claims.iss,
      TICKETGATE_JWT_AUDIENCE: claims.aud,
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_DEFAULT_SUBSCRIBE: '*',
    },
  })
  const front = await startFront(t, server.url)
  let key = oldKey
  const gates = Array.from({ length: clients }, (_, index) =>
    connectTo(t, front.url, {
      getToken: () => signedBy(key, { ...claims, sub: `user-${index}` }),
      minDelayMs: 500,
      maxDelayMs: 30_000,
    }),
  )
  await Promise.all(gates.map(gate => gate.next('open')))
  provider.answer = slowly(ms, freshKey)
  key = freshKey
  await disturb(server.url)
  front.cut()
  await allReturn(t, gates)
}

async function allReturn(t: Test, gates: readonly Recorded[]): Promise<void> {
  const ends = gates.map(gate => Promise.race([gate.next('open'), gate.next('close')]))
  const closed = (await Promise.all(ends)).filter(event => 'code' in event)
  t.strictSame(closed, [], `all ${gates.length} return`)
  await Promise.all(gates.map(gate => gate.close()))
}

t.test('after a key rotation all clients return, however slowly the keys arrive', async t => {
  for (const ms of [0, 50, 200, 1500]) await rotate(t, ms, async () => {})
})

t.test('a stranger’s made-up key ids do not lock others out', async t => {
  const stranger = newKey('ES256', 'stranger')
  await rotate(t, 200, base =>
    Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        request(base, '/ws_ticket', {
          headers: bearer(signedBy(stranger, claims, { kid: `made up ${index}` })),
        }),
      ),
    ),
  )
})

t.test('an issuer whose clock is ahead does not lock its users out', async t => {
  const server = await startServer(t)
  for (const aheadSeconds of [1, 4]) {
    const gates = Array.from({ length: clients }, (_, index) =>
      connectTo(t, server.url, {
        getToken: () => tokenFor(`user-${index}`, { iat: nowSeconds() + aheadSeconds }),
      }),
    )
    await allReturn(t, gates)
  }
})
