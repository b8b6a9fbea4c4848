import t from 'tap'
import { createBootKey, createIssuer } from '../../src/library/index.js'
import { outcomeOf, requestUpgrade } from '../support/http.js'
import { startNode, ticketKeys } from '../support/nodes.js'
import { needs } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { gatePath, nowSeconds } from '../support/tokens.js'

const maggie = { user: 'maggie', expires: nowSeconds() + 600 }

t.test('tickets for gates that share a Redis, valid at any of them, once', needs('redis-server'), async t => {
  const redis = await startRedis(t)
  const [one, other] = [await startNode(t, redis.port), await startNode(t, redis.port)]
  let epoch = '0'.repeat(32)
  const issuer = createIssuer({ key: ticketKeys, epoch: () => epoch })
  const { ticket: former } = issuer.issue(maggie)
  epoch = await redis.client.getrange('ticketgate:epoch', 0, 31)
  const { ticket } = issuer.issue(maggie)
  t.equal(outcomeOf(await requestUpgrade(one.url, gatePath(former))), '401 ticket_predates_gate')
  t.equal(outcomeOf(await requestUpgrade(one.url, gatePath(ticket))), '101')
  t.equal(outcomeOf(await requestUpgrade(other.url, gatePath(ticket))), '401 ticket_used')
  const fixed = createIssuer({ key: ticketKeys, epoch }).issue(maggie)
  t.equal(outcomeOf(await requestUpgrade(other.url, gatePath(fixed.ticket))), '101', 'as text')
})

t.test('mistakes are TypeErrors', async t => {
  const key = ticketKeys
  const cases = [
    ['not so long', { key, epoch: 'abc' }, /^epoch must be 32 hexadecimal digits/],
    ['in upper case', { key, epoch: 'A'.repeat(32) }, /^epoch must be/],
    ['of an own key', { key: createBootKey(), epoch: '0'.repeat(32) }, /^key must be a configured key/],
    ['neither node nor epoch', { key }, /^node must be/],
  ] as const
  for (const [name, options, message] of cases)
    t.throws(() => createIssuer(options), { name: 'TypeError', message }, name)
  const unknown = createIssuer({ key, epoch: () => '' })
  t.throws(() => unknown.issue(maggie), { name: 'TypeError', message: /^epoch\(\) must be/ })
})
