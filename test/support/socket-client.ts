import { pack, unpack } from 'msgpackr'
import WebSocket, { type ClientOptions } from 'ws'
import type { Json, Reply } from './http.js'

export interface Closed {
  readonly code: number
  readonly reason: string
}

export interface OpenOptions {
  readonly protocols?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly origin?: string
  readonly from?: string
}

const msgpackProtocol = 'ticketgate.v1.msgpack'

/** A `ws` client that queues messages, so that tests miss none and need not sleep. */
export class Client {
  readonly socket: WebSocket
  readonly closed: Promise<Closed>
  readonly #queue: Json[] = []
  #waiting: { resolve: (message: Json) => void; reject: (error: Error) => void }[] = []

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data, isBinary) => {
      if (isBinary !== (socket.protocol === msgpackProtocol))
        throw new Error(`a ${isBinary ? 'binary' : 'text'} frame in the protocol ${socket.protocol}`)
      const message = (isBinary ? unpack(data as Buffer) : JSON.parse(String(data))) as Json
      const first = this.#waiting.shift()
      if (first === undefined) this.#queue.push(message)
      else first.resolve(message)
    })
    socket.on('error', () => {})
    this.closed = new Promise(resolve => {
      socket.once('close', (code, reason) => {
        for (const { reject } of this.#waiting) reject(new Error(`closed with ${code} ${reason}`))
        this.#waiting = []
        resolve({ code, reason: String(reason) })
      })
    })
  }

  /** The next message, in order of arrival. Throws if the socket is closed and nothing is left. */
  next(): Promise<Json> {
    const message = this.#queue.shift()
    if (message !== undefined) return Promise.resolve(message)
    if (this.socket.readyState === WebSocket.CLOSED) return Promise.reject(new Error('already closed'))
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  /** Skips to the first message that has all these members. */
  async nextWith(members: Json): Promise<Json> {
    for (;;) {
      const message = await this.next()
      if (Object.entries(members).every(([name, value]) => message[name] === value)) return message
    }
  }

  /** Sends a message in the socket's encoding; text and bytes unchanged. */
  send(message: unknown): void {
    if (typeof message === 'string' || message instanceof Uint8Array) this.socket.send(message)
    else this.socket.send(this.socket.protocol === msgpackProtocol ? pack(message) : JSON.stringify(message))
  }

  /**
   * Whether nothing was sent to this client before: sends a ping and checks that the pong comes
   * first.
   */
  async hearsNothing(): Promise<boolean> {
    const first = await this.ask({ type: 'ping', id: 'anything before?' })
    return first.type === 'pong' && first.id === 'anything before?'
  }

  /** Sends a message and returns the next one received. */
  ask(message: unknown): Promise<Json> {
    this.send(message)
    return this.next()
  }

  close(): Promise<Closed> {
    this.socket.close()
    return this.closed
  }
}

export const socketUrl = (base: string, path: string): string => base.replace(/^http/, 'ws') + path

/** Opens a socket, or returns the refusal: raw status, headers and body. */
export const attempt = (url: string, options: OpenOptions = {}): Promise<Client | Reply> =>
  new Promise((resolve, reject) => {
    const settings: ClientOptions & { localAddress?: string } = {
      perMessageDeflate: false,
      rejectUnauthorized: false,
      ...(options.headers === undefined ? {} : { headers: options.headers }),
      ...(options.origin === undefined ? {} : { origin: options.origin }),
      ...(options.from === undefined ? {} : { localAddress: options.from }),
    }
    const socket = new WebSocket(url, [...(options.protocols ?? [])], settings)
    const client = new Client(socket)
    socket.once('open', () => resolve(client))
    socket.once('unexpected-response', (_, response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', chunk => {
        text += chunk
      })
      response.once('error', reject)
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text })
      })
    })
    socket.once('error', reject)
  })

/** Opens a socket. Throws if it is refused. */
export const open = async (url: string, options: OpenOptions = {}): Promise<Client> => {
  const outcome = await attempt(url, options)
  if (outcome instanceof Client) return outcome
  throw new Error(`refused: ${outcome.status} ${outcome.text}`)
}

/** Opens a socket and reads its welcome. */
export const openSession = async (
  url: string,
  options: OpenOptions = {},
): Promise<{ client: Client; welcome: Json }> => {
  const client = await open(url, options)
  return { client, welcome: await client.next() }
}
