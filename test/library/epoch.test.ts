import t from 'tap'
import { createBootKey, createIssuer } from '../../src/library/index.js'
import { outcomeOf } from '../support/http.js'
import { openFresh, requestUpgradeUntilAnswered, startNode, ticketKeys } from '../support/nodes.js'
import { needs } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { gatePath, nowSeconds } from '../support/tokens.js'

const maggie = { user: 'maggie', expires: nowSeconds() + 600 }

t.test(
  'tickets for gates that share a Redis are valid at any of them, once',
  needs('redis-server'),
  async t => {
    const redis = await startRedis(t)
    const [one, other] = [await startNode(t, redis.port), await startNode(t, redis.port)]
    let epoch = '0'.repeat(32)
    const issuer = createIssuer({ key: ticketKeys, epoch: () => epoch })
    const { ticket: former } = issuer.issue(maggie)
    epoch = await redis.client.getrange('ticketgate:epoch', 0, 31)
    const present = async (base: string, ticket: string): Promise<string> =>
      outcomeOf(await requestUpgradeUntilAnswered(base, gatePath(ticket)))
    t.equal(await present(one.url, former), '401 ticket_predates_gate')
    const { ticket, client } = await openFresh(one.url, async () => issuer.issue(maggie).ticket)
    t.equal(await present(other.url, ticket), '401 ticket_used')
    const fixed = createIssuer({ key: ticketKeys, epoch })
    const asText = await openFresh(other.url, async () => fixed.issue(maggie).ticket)
    for (const each of [client, asText.client]) await each.close()
  },
)

t.test('invalid epochs and keys are TypeErrors', async t => {
  const key = ticketKeys
  const cases = [
    ['too short', { key, epoch: 'abc' }, /^epoch must be 32 hexadecimal digits/],
    ['in upper case', { key, epoch: 'A'.repeat(32) }, /^epoch must be/],
    ['with a boot key', { key: createBootKey(), epoch: '0'.repeat(32) }, /^key must be a configured key/],
    ['neither node nor epoch', { key }, /^node must be/],
  ] as const
  for (const [name, options, message] of cases)
    t.throws(() => createIssuer(options), { name: 'TypeError', message }, name)
  const unknown = createIssuer({ key, epoch: () => '' })
  t.throws(() => unknown.issue(maggie), { name: 'TypeError', message: /^epoch\(\) must be/ })
})
