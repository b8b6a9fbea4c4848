import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { type AddressInfo, createConnection, type Socket } from 'node:net'
import type { Test } from 'tap'

/** Handles a request instead of the upstream server, or returns false to pass it on. */
export type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean

export interface Front {
  readonly url: string
  intercept: Intercept
  /** Handles handshakes instead of passing them on; undefined = they pass. */
  handshake: ((socket: Socket) => void) | undefined
  /**
   * Decides whether a handshake may pass, like a proxy with an authentication service; undefined =
   * it may.
   */
  admit: ((request: IncomingMessage) => Promise<boolean>) | undefined
  /** Cuts the connections of handshakes that were passed on. */
  cut(): void
}

/**
 * Starts a proxy that passes everything on to `target`, unless a test makes it behave otherwise.
 */
export async function startFront(
  t: Test,
  target: string,
  intercept: Intercept = () => false,
): Promise<Front> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const server = createServer((incoming, response) => {
    if (front.intercept(incoming, response)) return
    const { method = 'GET', url = '/', headers } = incoming
    const outgoing = request({ hostname, port, method, path: url, headers, agent: false })
    outgoing.once('response', reply => {
      response.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(response)
    })
    outgoing.once('error', () => response.destroy())
    incoming.pipe(outgoing)
  })
  const passOn = (incoming: IncomingMessage, socket: Socket, head: Buffer): void => {
    const upstream = createConnection(Number(port), hostname)
    sockets.add(upstream.on('error', () => {}))
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const)
      from.once('close', () => to.destroy())
    const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`]
    for (let at = 0; at < incoming.rawHeaders.length; at += 2)
      lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`)
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`)
    upstream.write(head)
    socket.pipe(upstream).pipe(socket)
  }
  server.on('upgrade', async (incoming, socket: Socket, head) => {
    sockets.add(socket.on('error', () => {}))
    if (front.handshake !== undefined) return front.handshake(socket)
    const passes = front.admit === undefined || (await front.admit(incoming))
    if (passes) passOn(incoming, socket, head)
    else refuseWith(401)(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  t.teardown(() => {
    cut()
    server.closeAllConnections()
    server.close()
  })
  const front: Front = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    intercept,
    handshake: undefined,
    admit: undefined,
    cut,
  }
  return front
}

/** An HTML page like those of firewalls, ingresses and maintenance modes. */
export const htmlPage =
  (status: number): Intercept =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'text/html' }).end(`<h1>${status}</h1>`)
    return true
  }

/** A refusal like ticketgate's. */
export const problem =
  (
    status: number,
    code: string,
    headers: Readonly<Record<string, string>> = {},
    members: object = { type: `urn:ticketgate:problem:${code}` },
  ): Intercept =>
  (_, response) => {
    response
      .writeHead(status, { 'content-type': 'application/problem+json', ...headers })
      .end(JSON.stringify({ title: code, status, code, detail: code, ...members }))
    return true
  }

/** Intercepts the first `count` requests of a path, and passes all others on. */
export function first(count: number, path: string, intercept: Intercept): Intercept {
  let left = count
  return (request, response) =>
    request.url?.split('?')[0] === path && left-- > 0 && intercept(request, response)
}

/** Refuses a handshake like any HTTP server. */
export const refuseWith =
  (status: number) =>
  (socket: Socket): void =>
    void socket.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
