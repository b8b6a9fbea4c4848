import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { type Front, startFront } from './front.js'
import { request } from './http.js'
import type { TestServer } from './server.js'

export interface Guarded extends Front {
  /** The presented tickets, in order. */
  readonly tickets: readonly string[]
  /** The gate's response to each: 204, or a refusal. */
  readonly verdicts: readonly number[]
}

/**
 * Starts a third-party WebSocket server behind a gate: a handshake passes if the gate's `/verify`
 * accepts its ticket, as with nginx's `auth_request`.
 * @param attach puts the WebSocket server on this HTTP server
 */
export async function startGuarded(
  t: Test,
  gate: TestServer,
  attach: (server: Server) => void,
): Promise<Guarded> {
  const server = createServer()
  attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const front = await startFront(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const tickets: string[] = []
  const verdicts: number[] = []
  front.admit = async ({ url = '', headers }) => {
    const protocols = headers['sec-websocket-protocol'] ?? ''
    tickets.push(/[?&]ticket=([^&]*)/.exec(url)?.[1] ?? /\bticket\.([\w.-]+)/.exec(protocols)?.[1] ?? 'none')
    const { status } = await request(gate.url, '/verify', {
      headers: { 'x-original-uri': url, 'sec-websocket-protocol': protocols },
    })
    verdicts.push(status)
    return status === 204
  }
  return Object.assign(front, { tickets, verdicts })
}
