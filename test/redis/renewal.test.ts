import t from 'tap'
import { type Json, jsonOf, metric, postJson, type Reply, requestUpgrade } from '../support/http.js'
import { openFresh, startNode, untilReady } from '../support/nodes.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint, mintWith, nowSeconds, tokenFor } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

const longLived = { TICKETGATE_TICKET_TTL_SECONDS: '600' }

t.test('a socket is renewed by a ticket that is spent in the store, but only once', async t => {
  const redis = await startRedis(t)
  const nodes = [
    await startNode(t, redis.port, longLived),
    await startNode(t, redis.port, longLived),
  ] as const
  const { client } = await openFresh(nodes[0].url, () => mint(nodes[0].url))
  const expires = nowSeconds() + 500
  const renew = async (ticket: string, id: number): Promise<Json> => {
    await untilReady(nodes[0])
    return client.ask({ type: 'renew', ticket, id })
  }
  let ticket: string
  let reply: Json
  // If a busy store did not reply in time, the ticket may be spent or not.
  do {
    await untilReady(nodes[1])
    ticket = (await mintWith(nodes[1].url, tokenFor('maggie', { exp: expires }))).ticket
    reply = await renew(ticket, 1)
  } while (reply.code === 'replay_cache_unavailable')
  t.match(reply, { type: 'renewed', expires, id: 1 })
  do reply = await renew(ticket, 2)
  while (reply.code === 'replay_cache_unavailable')
  t.match(reply, { type: 'error', code: 'ticket_used', id: 2 })

  const [late, gone] = [await mint(nodes[0].url), await mint(nodes[0].url)]
  redis.signal('SIGSTOP')
  t.match(await client.ask({ type: 'renew', ticket: late, id: 3 }), {
    code: 'replay_cache_unavailable',
    id: 3,
  })
  const other = await openSession(socketUrl(nodes[1].url, gatePath(gone))).catch(error => String(error))
  t.match(other, /503/, 'no new socket opens either')
})

t.test('a client that is gone when the store replies does not affect others', async t => {
  const redis = await startRedis(t)
  const node = await startNode(t, redis.port, longLived)
  const spent = Array.from({ length: 20 }, async () => {
    const { client } = await openFresh(node.url, () => mint(node.url))
    const second = await mint(node.url)
    return { client, second }
  })
  const clients = await Promise.all(spent)
  redis.signal('SIGSTOP')
  for (const { client, second } of clients) {
    client.send({ type: 'renew', ticket: second })
    client.socket.terminate()
  }
  await Promise.all(clients.map(({ client }) => client.closed))
  // This request was sent last: when it times out, all the others have timed out too.
  isProblem(
    t,
    await requestUpgrade(node.url, gatePath(clients[0]?.second ?? '')),
    '503 replay_cache_unavailable',
  )
  redis.signal('SIGCONT')
  await untilReady(node)
  t.equal(await metric(node, 'ticketgate_connections'), 0)
})

t.test('the status of a ticket comes from the store', async t => {
  const redis = await startRedis(t)
  const node = await startNode(t, redis.port, longLived)
  const ask = (ticket: string) => postJson(node.url, '/ws_ticket/status', { ticket })
  const answer = async (ticket: string): Promise<Json> => {
    let reply: Reply
    do reply = await ask(ticket)
    while (reply.status === 503)
    return jsonOf(reply)
  }
  t.match(await answer(await mint(node.url)), { state: 'live' })
  const { ticket, client } = await openFresh(node.url, () => mint(node.url))
  t.match(await answer(ticket), { state: 'used' })
  await client.close()
  await untilReady(node)
  const kept = await mint(node.url)
  redis.signal('SIGSTOP')
  isProblem(t, await ask(kept), '503 replay_cache_unavailable')
})
