import t from 'tap'
import { disconnect, startBusNode } from '../support/bus.js'
import { bearer, request } from '../support/http.js'
import { keysFetched } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { jwks, newKey, signedBy, startProvider } from '../support/provider.js'
import { startRedis } from '../support/redis.js'
import { type Environment, startServer } from '../support/server.js'
import { nowSeconds, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

t.test('a node that starts after a revocation refuses older tokens from its first request', async t => {
  const redis = await startRedis(t)
  const key = newKey('ES256', 'a')
  const provider = await startProvider(t, jwks(key))
  const issuedBefore = { iat: nowSeconds() - 1 }
  const named = { iss: 'https://id.example', aud: 'gate' }
  const jwksEnv: Environment = {
    TICKETGATE_JWT_SECRET: undefined,
    TICKETGATE_JWKS_URL: provider.url,
    TICKETGATE_JWT_ISSUER: named.iss,
    TICKETGATE_JWT_AUDIENCE: named.aud,
  }
  const identities: readonly [name: string, env: Environment, token: string][] = [
    ['its own login', {}, tokenFor('maggie', issuedBefore)],
    ['its own login, two threads', { TICKETGATE_THREADS: '2' }, tokenFor('maggie', issuedBefore)],
    ['an identity provider', jwksEnv, signedBy(key, { ...issuedBefore, ...named })],
  ]
  const first = await startBusNode(t, redis.port)
  await disconnect(first, { user: 'maggie' })
  for (const [name, env, token] of identities)
    for (let round = 0; round < 3; round++) {
      const late = await startServer(t, { env: { TICKETGATE_REDIS_URL: redis.url, ...env } })
      if (env === jwksEnv) await keysFetched(late)
      const reply = await request(late.url, '/ws_ticket', { headers: bearer(token) })
      isProblem(t, reply, '401 token_revoked', `${name}, start ${round}`)
      await late.stop()
    }
})

t.test('an unreachable Redis does not keep a node from starting', async t => {
  const redis = await startRedis(t)
  await redis.kill()
  const node = await startServer(t, { env: { TICKETGATE_REDIS_URL: redis.url } })
  t.equal((await request(node.url, '/readyz')).status, 200)
})
