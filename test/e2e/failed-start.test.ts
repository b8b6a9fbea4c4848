import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { ticketKeys } from '../support/nodes.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { type Environment, runServe, temporaryDirectory } from '../support/server.js'

fileNeeds(t, 'redis-server')

const redis = await startRedis(t)
const bus = { TICKETGATE_REDIS_URL: redis.url }
const gates: [name: string, env: Environment][] = [
  ['one thread', {}],
  ['one thread with a bus', bus],
  ['one thread on Redis', { ...bus, TICKETGATE_REPLAY: 'redis', TICKETGATE_TICKET_KEYS: ticketKeys }],
  ['one thread with outside minters', { TICKETGATE_TICKET_KEYS: ticketKeys, TICKETGATE_NODE: 'one' }],
  ['two threads', { TICKETGATE_THREADS: '2' }],
  ['two threads with a bus', { ...bus, TICKETGATE_THREADS: '2' }],
  [
    'two threads on Redis',
    {
      ...bus,
      TICKETGATE_THREADS: '2',
      TICKETGATE_REPLAY: 'redis',
      TICKETGATE_TICKET_KEYS: ticketKeys,
    },
  ],
]

t.test('a start that fails halfway says why and exits with 1', async t => {
  for (const [name, env] of gates) {
    const stateDir = temporaryDirectory(t)
    writeFileSync(join(stateDir, 'users.json'), '{')
    const { code, signal, output } = await runServe(t, { ...env, TICKETGATE_STATE_DIR: stateDir })
    t.same({ code, signal }, { code: 1, signal: null }, name)
    t.match(output, /users\.json/, `${name}: it says why`)
  }
})

t.test('a start that fails at the last step, the admin listener, says why and exits with 1', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => taken.once('listening', resolve))
  t.teardown(() => taken.close())
  const address = taken.address()
  const port = typeof address === 'object' ? String(address?.port) : ''
  for (const [name, env] of gates) {
    const { code, signal, output } = await runServe(t, { ...env, TICKETGATE_ADMIN_PORT: port })
    t.same({ code, signal }, { code: 1, signal: null }, name)
    t.match(output, /TICKETGATE_ADMIN_PORT/, `${name}: it says why`)
  }
})
