import { createConnection, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { freePort } from '../support/free-port.js'
import { bearer, request } from '../support/http.js'
import { adminKey, startServer, type TestServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import { gatePath, mint } from '../support/tokens.js'

const isRefused = async (server: TestServer): Promise<boolean> => {
  const reply = await request(server.url, '/healthz').catch(error => error.code)
  return reply === 'ECONNREFUSED'
}

for (const threads of [1, 2])
  t.test(
    `clients that exhaust the file descriptors do not stop the gate, with ${threads} threads`,
    async t => {
      const server = await startServer(t, {
        // Enough for two threads to load their modules at the same time.
        openFiles: 600,
        env: { TICKETGATE_PORT: String(await freePort()), TICKETGATE_THREADS: String(threads) },
      })
      const { client } = await openSession(socketUrl(server.url, gatePath(await mint(server.url))))
      const held = new Set<Socket>()
      let isHolding = true
      const hold = (): void => {
        const socket = createConnection(server.port, '127.0.0.1').on('error', () => {})
        held.add(socket)
        socket.once('close', () => {
          held.delete(socket)
          // The gate closes connections that stay silent, so they are replaced.
          if (isHolding) setTimeout(hold, 20)
        })
      }
      for (let n = 0; n < 700; n++) hold()
      while (!(await isRefused(server))) await delay(20)
      t.pass('new clients are refused at once')
      for (let n = 0; n < 10; n++) {
        t.equal((await request(server.admin, '/healthz')).status, 200, 'the admin listener replies')
        const metrics = await request(server.admin, '/metrics', { headers: bearer(adminKey) })
        t.equal(metrics.status, 200, 'the admin listener serves metrics')
      }
      t.match(await client.ask({ type: 'ping', id: 1 }), { type: 'pong', id: 1 }, 'an open socket stays open')

      isHolding = false
      for (const socket of held) socket.destroy()
      while (await isRefused(server)) await delay(20)
      t.equal((await request(server.url, '/healthz')).status, 200, 'new clients are accepted again')
      t.match(await client.ask({ type: 'ping', id: 2 }), { type: 'pong', id: 2 })
      await client.close()
      t.equal((await server.stop()).code, 0)
      const warnings = server.output().match(/no file descriptors left/g) ?? []
      t.ok(warnings.length >= 1 && warnings.length <= threads, 'each thread logs it at most once')
    },
  )

t.test('a gate with free descriptors accepts every connection', async t => {
  const server = await startServer(t, { env: { TICKETGATE_PORT: String(await freePort()) } })
  // The gate checks its descriptors ten times a second.
  for (let n = 0; n < 30; n++) {
    t.equal((await request(server.url, '/healthz')).status, 200)
    await delay(50)
  }
  await server.stop()
  t.notMatch(server.output(), /no file descriptor/)
})
