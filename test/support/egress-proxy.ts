import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'

export interface EgressProxy {
  readonly port: number
  /** The requested destinations, with the credentials. */
  readonly asked: string[]
}

/** A CONNECT proxy that connects everything to one port, or refuses. */
export const startEgressProxy = async (t: Test, target: number, refusal?: string): Promise<EgressProxy> => {
  const asked: string[] = []
  const server = createServer((_, response) => void response.writeHead(501).end())
  server.on('connect', ({ url, headers }: IncomingMessage, socket: Duplex) => {
    asked.push([url, headers['proxy-authorization']].filter(Boolean).join(' '))
    socket.on('error', () => {})
    if (refusal !== undefined) return void socket.end(`HTTP/1.1 ${refusal}\r\n\r\n`)
    const upstream = connect(target, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      upstream.pipe(socket).pipe(upstream)
    })
    upstream.on('error', () => socket.destroy())
    t.teardown(() => upstream.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, asked }
}
