import t from 'tap'
import { createGate } from '../../src/index.js'
import '../support/built.js'
import { jwtSecret, temporaryDirectory } from '../support/fixtures.js'
import { ticketKeys, untilReady } from '../support/nodes.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

fileNeeds(t, 'redis-server')

// Every byte has the flag with which uWS marks a connection for closing. glibc places a buffer of
// this size where the state of the response was before the upgrade.
const closes = Buffer.alloc(68, 16)

t.test(
  'a socket that opens after a reply from Redis stays open, whatever is allocated meanwhile',
  async t => {
    const redis = await startRedis(t)
    const kept: Buffer[] = []
    const gate = await createGate({
      port: 0,
      adminPort: 0,
      jwtSecret,
      stateDir: temporaryDirectory(t),
      logLevel: 'fatal',
      console: 'off',
      replay: 'redis',
      redisUrl: redis.url,
      ticketKeys,
      onConnect() {
        for (let n = 0; n < 8; n++) {
          const bytes = Buffer.allocUnsafeSlow(closes.length)
          closes.copy(bytes)
          kept.push(bytes)
        }
      },
    })
    const { url } = await gate.listen()
    t.teardown(() => gate.drain())
    await untilReady({ url })
    for (let n = 0; n < 20; n++) {
      const { client, welcome } = await openSession(socketUrl(url, gatePath(await mint(url))))
      t.equal(welcome.type, 'welcome')
      t.match(await client.ask({ type: 'ping', id: n }), { type: 'pong', id: n })
    }
    t.equal(kept.length, 8 * 20)
  },
)
