import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import WebSocket from 'ws'
import { certificate, certificateKey } from '../support/certificate.js'
import { requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { startNginx } from '../support/proxy.js'
import { startServer, temporaryDirectory } from '../support/server.js'
import { gatePath, mint } from '../support/tokens.js'

fileNeeds(t, 'nginx')

/** How nginx reaches the gate: the gate's settings, and the path of its socket if it has one. */
const ways = {
  'a port': () => ({ env: { TICKETGATE_TRUSTED_PROXIES: '127.0.0.1' }, path: undefined }),
  'a Unix socket': (directory: string) => {
    const path = join(directory, 'gate.sock')
    return { env: { TICKETGATE_HOST: `unix:${path}` }, path }
  },
}

for (const [name, wayIn] of Object.entries(ways))
  t.test(`nginx terminates TLS for a gate on ${name}, and forwards sockets and refusals`, async t => {
    const directory = temporaryDirectory(t)
    const files = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') }
    writeFileSync(files.cert, certificate)
    writeFileSync(files.key, certificateKey)
    const way = wayIn(directory)
    const server = await startServer(t, { env: { ...way.env, TICKETGATE_ORIGINS: undefined } })
    const plain = await startNginx(t, 'nginx-tls.conf', {
      'http://127.0.0.1:8080':
        way.path === undefined ? `http://127.0.0.1:${server.port}` : `http://unix:${way.path}`,
      '/etc/ssl/gate.example.com.pem': files.cert,
      '/etc/ssl/gate.example.com.key': files.key,
    })
    const url = plain.replace('http:', 'https:')
    const path = gatePath(await mint(url, 'maggie'), 'lobby')
    // This is the gate's own origin, as the proxy reports it.
    const socket = new WebSocket(url.replace('https:', 'wss:') + path, {
      rejectUnauthorized: false,
      origin: url,
    })
    t.teardown(() => socket.terminate())
    const [welcome] = await new Promise<[Buffer]>((resolve, reject) => {
      socket.once('message', data => resolve([data as Buffer]))
      socket.once('error', reject)
    })
    t.match(JSON.parse(String(welcome)), { type: 'welcome', user: 'maggie', channel: 'lobby' })
    isProblem(t, await requestUpgrade(url, path), '401 ticket_used')
    const foreign = await requestUpgrade(url, gatePath(await mint(url)), {
      headers: { origin: url.replace('https:', 'http:') },
    })
    isProblem(t, foreign, '403 origin_forbidden')
  })
