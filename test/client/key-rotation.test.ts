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

/** A provider whose key set takes its time. */
const slowly =
  (ms: number, ...keys: readonly ProviderKey[]): Answer =>
  (response, request) =>
    void after(ms).then(() => jwks(...keys)(response, request))

/**
 * A site whose users come back after its provider has rotated its keys, and the network has broken.
 */
async function rotate(t: Test, ms: number, disturb: (base: string) => Promise<unknown>): Promise<void> {
  const [old, young] = [newKey('ES256', 'old'), newKey('ES256', 'young')]
  const provider = await startProvider(t, jwks(old))
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
  let key = old
  const gates = Array.from({ length: clients }, (_, index) =>
    connectTo(t, front.url, {
      getToken: () => signedBy(key, { ...claims, sub: `user-${index}` }),
      minDelayMs: 500,
      maxDelayMs: 30_000,
    }),
  )
  await Promise.all(gates.map(gate => gate.next('open')))
  provider.answer = slowly(ms, young)
  key = young
  await disturb(server.url)
  front.cut()
  await allBack(t, gates)
}

async function allBack(t: Test, gates: readonly Recorded[]): Promise<void> {
  const ends = gates.map(gate => Promise.race([gate.next('open'), gate.next('close')]))
  const closed = (await Promise.all(ends)).filter(event => 'code' in event)
  t.strictSame(closed, [], `all ${gates.length} are back`)
  await Promise.all(gates.map(gate => gate.close()))
}

t.test('after a rotation all clients come back, however slowly the keys arrive', async t => {
  for (const ms of [0, 50, 200, 1500]) await rotate(t, ms, async () => {})
})

t.test('made-up key ids of a stranger do not lock others out', async t => {
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
    await allBack(t, gates)
  }
})
