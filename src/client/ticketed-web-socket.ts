import { ticketParameter } from '../protocol.js'
import { platform, requireDefined } from './platform.js'
import type { TicketSource } from './ticket-source.js'

/** An event listener, or none. */
type Handler = ((event: never) => void) | null

/** The members of a WebSocket that set handlers, as opposed to adding listeners. */
export interface HandledSocket {
  binaryType: string
  readonly bufferedAmount: number
  readonly extensions: string
  readonly protocol: string
  readonly readyState: number
  onopen: Handler
  onmessage: Handler
  onerror: Handler
  onclose: Handler
  send(data: never): void
  close(code?: number, reason?: string): void
}

/** `WebSocket`, or a class of the same interface. */
export type HandledSocketClass = new (url: string, protocols?: string | string[]) => HandledSocket

const connecting = 0
const closed = 3

/**
 * Returns a WebSocket class whose sockets each get a ticket before they open, for clients that need
 * the URL synchronously and a class to open it with. The ticket is added to the query of that URL.
 * Without a ticket, the socket fails: `error` has the `GateError` as its `error`, and `close`
 * follows, with 1006.
 * @param WebSocket the class to open sockets with; by default the global one
 * @throws TypeError if there is none
 */
export function ticketedWebSocket(
  source: Pick<TicketSource, 'ticket'>,
  WebSocket = platform.WebSocket as HandledSocketClass | undefined,
): HandledSocketClass {
  const Socket = requireDefined('WebSocket', WebSocket)
  return class extends TicketedSocket {
    constructor(url: string, protocols?: string | string[]) {
      super(source, ticket => {
        const target = `${url}${String(url).includes('?') ? '&' : '?'}${ticketParameter}=${ticket}`
        return protocols === undefined ? new Socket(target) : new Socket(target, protocols)
      })
    }
  }
}

class TicketedSocket implements HandledSocket {
  static readonly CONNECTING = connecting
  static readonly OPEN = 1
  static readonly CLOSING = 2
  static readonly CLOSED = closed
  onopen: Handler = null
  onmessage: Handler = null
  onerror: Handler = null
  onclose: Handler = null
  #binaryType = 'blob'
  #socket: HandledSocket | undefined
  #isClosed = false

  constructor(source: Pick<TicketSource, 'ticket'>, open: (ticket: string) => HandledSocket) {
    source
      .ticket()
      .then(ticket => {
        if (!this.#isClosed) this.#adopt(open(ticket))
      })
      .catch(error => {
        if (this.#isClosed) return
        this.onerror?.({ type: 'error', target: this, message: String(error), error } as never)
        this.#end('')
      })
  }

  get readyState(): number {
    return this.#socket?.readyState ?? (this.#isClosed ? closed : connecting)
  }
  get protocol(): string {
    return this.#socket?.protocol ?? ''
  }
  get extensions(): string {
    return this.#socket?.extensions ?? ''
  }
  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0
  }
  get binaryType(): string {
    return this.#binaryType
  }
  set binaryType(type: string) {
    this.#binaryType = type
    if (this.#socket !== undefined) this.#socket.binaryType = type
  }

  send(data: never): void {
    if (this.#socket === undefined) throw new Error('The socket is not open yet.')
    this.#socket.send(data)
  }

  close(code?: number, reason?: string): void {
    if (this.#socket === undefined) this.#end('closed before it was opened')
    else this.#socket.close(code, reason)
  }

  #adopt(socket: HandledSocket): void {
    this.#socket = socket
    socket.binaryType = this.#binaryType
    socket.onopen = event => this.onopen?.(event)
    socket.onmessage = event => this.onmessage?.(event)
    socket.onerror = event => this.onerror?.(event)
    socket.onclose = event => this.onclose?.(event)
  }

  #end(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // In a later turn, like a WebSocket.
    Promise.resolve().then(() =>
      this.onclose?.({ type: 'close', target: this, code: 1006, reason, wasClean: false } as never),
    )
  }
}
