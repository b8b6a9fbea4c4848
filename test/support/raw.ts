import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { request, upgradeHeaders } from './http.js'
import { reset } from './reset.js'

export interface RawResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/** A bare TCP connection, or TLS to an `https:` base, for what no HTTP client would send. */
export class RawConnection {
  readonly socket: Socket
  readonly closed: Promise<void>
  #received = Buffer.alloc(0)
  #open = true
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('data', chunk => {
      this.#received = Buffer.concat([this.#received, chunk])
      this.#wake()
    })
    this.closed = new Promise(resolve => {
      socket.once('close', () => {
        this.#open = false
        this.#wake()
        resolve()
      })
    })
  }

  static async connect(base: string, from?: string): Promise<RawConnection> {
    const { protocol, hostname: host, port } = new URL(base)
    const to = { host, port: Number(port), ...(from === undefined ? {} : { localAddress: from }) }
    const isTls = protocol === 'https:'
    const socket = isTls
      ? connectTls({ ...to, rejectUnauthorized: false })
      : createConnection({ ...to, noDelay: true })
    const connection = new RawConnection(socket)
    await Promise.race([once(socket, isTls ? 'secureConnect' : 'connect'), connection.closed])
    if (!connection.isOpen) throw new Error(`no connection to ${base}`)
    return connection
  }

  get isOpen(): boolean {
    return this.#open
  }

  write(data: string | Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(data)
  }

  /**
   * Takes the next complete response off the connection; undefined if the connection ends first.
   */
  async response(): Promise<RawResponse | undefined> {
    for (;;) {
      const response = this.#take()
      if (response !== undefined) return response
      if (!this.#open) return undefined
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Waits until something arrives or the connection ends, but no longer than this. */
  async hears(milliseconds: number): Promise<void> {
    if (!this.#open) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, milliseconds)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** All whole responses that have arrived. */
  arrived(): RawResponse[] {
    const responses: RawResponse[] = []
    for (let next = this.#take(); next !== undefined; next = this.#take()) responses.push(next)
    return responses
  }

  /** Received bytes that have not been taken yet. */
  get rest(): string {
    return this.#received.toString('latin1')
  }

  destroy(): void {
    this.socket.destroy()
  }

  /**
   * Resets the connection. Over TLS it is only closed: Node cannot reset a TLS socket, and the
   * attempt crashes the process.
   */
  reset(): void {
    if (this.socket instanceof TLSSocket) this.socket.destroy()
    else reset(this.socket)
  }

  #take(): RawResponse | undefined {
    const end = this.#received.indexOf('\r\n\r\n')
    if (end === -1) return undefined
    const [statusLine = '', ...lines] = this.#received.subarray(0, end).toString('latin1').split('\r\n')
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
    }
    const bodyEnd = end + 4 + Number(headers['content-length'] ?? 0)
    if (this.#received.length < bodyEnd) return undefined
    const text = this.#received.subarray(end + 4, bodyEnd).toString()
    this.#received = this.#received.subarray(bodyEnd)
    return { status: Number(statusLine.split(' ')[1]), headers, text }
  }
}

/** The text of an upgrade request, to be sent by hand. */
export const upgradeText = (path: string, headers: Readonly<Record<string, string>> = {}): string =>
  requestText('GET', path, { ...upgradeHeaders(), ...headers })

export const requestText = (
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): string =>
  `${method} ${path} HTTP/1.1\r\nHost: gate.test\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n${body}`

/**
 * Waits until the server has had time to respond to everything sent before: it has responded to
 * several later requests, on other connections.
 */
export const serverHasRead = async (base: string): Promise<void> => {
  for (let round = 0; round < 3; round++) await request(base, '/healthz')
}
