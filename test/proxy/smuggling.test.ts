import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { request } from '../support/http.js'
import { needs } from '../support/programs.js'
import { startCaddy, startHaproxy, startNginx } from '../support/proxy.js'
import { RawConnection } from '../support/raw.js'
import { startServer } from '../support/server.js'

/** The start of a request that would swallow the next request line as the value of a field. */
const hidden = 'GET /nothing HTTP/1.1\r\nHost: gate.test\r\nX-Rest: '
const length = `Content-Length: ${hidden.length}`
const chunked = 'Transfer-Encoding: chunked'
const chunk = `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`

const shapes = [
  ['an empty length and another', ['Content-Length:', length], hidden],
  ['a length and an empty one', [length, 'Content-Length:'], hidden],
  ['an empty length', ['Content-Length:'], hidden],
  ['an empty coding and chunks', ['Transfer-Encoding:', chunked], chunk],
  ['an empty coding and a length', ['Transfer-Encoding:', length], hidden],
  ['two lengths', ['Content-Length: 0', length], hidden],
  ['a length and chunks', [length, chunked], chunk],
  ['a length after a field without a name', [':x', length], hidden],
  ['chunks after a field without a name', [':x', chunked], chunk],
  ['a length followed by a byte beyond ASCII', [`Content-Length: ${hidden.length}\xff`], hidden],
  ['chunks', [chunked], chunk],
  ['chunks with an extension', [chunked], chunk.replace('\r\n', ';a=b\r\n')],
  ['chunks with a trailer', [chunked], `0\r\nX-Rest: a\r\n\r\n${hidden}`],
  ['chunks with bare line feeds', [chunked], chunk.replaceAll('\r\n0', '\n0')],
  ['a correct length', [length], hidden],
] as const

type Start = (t: Test, addresses: Record<string, string>) => Promise<string>

const proxies = {
  nginx: (t, to) => startNginx(t, 'nginx-nodes.conf', { ...to, '10.0.0.2:8080': to['10.0.0.1:8080'] ?? '' }),
  haproxy: (t, to) =>
    startHaproxy(t, 'haproxy-nodes.cfg', { ...to, '10.0.0.2:8080': to['10.0.0.1:8080'] ?? '' }),
  caddy: (t, to) => startCaddy(t, 'caddy-front.caddyfile', to),
} as const satisfies Record<string, Start>

const healthy = 'GET /healthz HTTP/1.1\r\nHost: gate.test\r\n\r\n'

for (const [name, start] of Object.entries(proxies) as [keyof typeof proxies, Start][])
  t.test(
    `behind ${name}, a client cannot smuggle a request in front of another client's`,
    needs(name),
    async t => {
      const server = await startServer(t)
      const proxy = await start(t, { '10.0.0.1:8080': `127.0.0.1:${server.port}` })
      // Waits until the proxy has noticed that the gate is up.
      while ((await request(proxy, '/healthz')).status !== 200) await delay(20)
      for (const [shape, fields, body] of shapes)
        for (const line of ['POST /auth', 'GET /healthz']) {
          const victim = await RawConnection.connect(proxy)
          const attacker = await RawConnection.connect(proxy)
          const head = [`${line} HTTP/1.1`, 'Host: gate.test', ...fields].join('\r\n')
          attacker.write(Buffer.from(`${head}\r\n\r\n${body}`, 'latin1'))
          await attacker.hears(1000)
          // Several, since the proxy may have more than one connection to the gate.
          for (let n = 0; n < 3; n++) {
            victim.write(healthy)
            const answer = await victim.response()
            t.match(answer ?? {}, { status: 200, text: '{"status":"ok"}' }, `${line}, ${shape}`)
          }
          attacker.destroy()
          victim.destroy()
        }
      t.strictSame(await server.stop(), { code: 0, signal: null })
    },
  )
