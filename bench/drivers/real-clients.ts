import { Agent, request } from 'node:http'
import { WebSocket } from 'ws'
import { type Connection, connect, type Fetch, type SocketClass } from '../../src/client/index.js'

/** A gate that clients can reach. */
export interface Node {
  readonly host: string
  readonly port: number
}

/** Where clients take tickets, and where they open sockets with them. Either may throw. */
export interface Route {
  forTicket(): Node
  ofTicket(protocols: readonly string[]): Node
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })

/** `fetch` over few connections, as those of a balancer. */
const pooledFetch =
  (route: Route): Fetch =>
  (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const { host, port } = route.forTicket()
      const { pathname, search } = new URL(url)
      const options = { agent, host, port, method, headers, path: pathname + search, signal }
      const sent = request(options, answer => {
        let text = ''
        answer.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        answer.once('error', reject)
        answer.once('end', () => {
          const status = answer.statusCode ?? 0
          const get = (name: string): string | null =>
            String(answer.headers[name.toLowerCase()] ?? '') || null
          resolve({ ok: status === 200, status, headers: { get }, json: async () => JSON.parse(text) })
        })
      })
      sent.once('error', reject)
      sent.end(body)
    })

export interface RealClient<Data> {
  readonly connection: Connection<Data>
  /** Cuts its connection, as when the network is lost. */
  cut(): void
}

/** A client of `ticketgate/client`, as in a page, with its own waits and retries. */
export const startClient = <Data>(route: Route, token: string): RealClient<Data> => {
  let socket: WebSocket | undefined
  // What the client calls as a constructor.
  function Routed(url: string, protocols: string[]): WebSocket {
    const { host, port } = route.ofTicket(protocols)
    const { pathname } = new URL(url)
    socket = new WebSocket(`ws://${host}:${port}${pathname}`, protocols, { perMessageDeflate: false })
    return socket
  }
  const connection = connect<Data>({
    url: 'http://gate.invalid',
    getToken: () => token,
    fetch: pooledFetch(route),
    WebSocket: Routed as unknown as SocketClass,
  })
  return { connection, cut: () => socket?.terminate() }
}

/** Waits until all are open, some at a time. */
export const openAll = async (start: () => RealClient<unknown>, count: number): Promise<void> => {
  let left = count
  const work = async (): Promise<void> => {
    while (left-- > 0) await start().connection.opened()
  }
  await Promise.all(Array.from({ length: 64 }, work))
}

/** Ends the connections of clients, and those for tickets. */
export const closeAll = async (clients: readonly RealClient<unknown>[]): Promise<void> => {
  await Promise.all(clients.map(({ connection }) => connection.close()))
  agent.destroy()
}
