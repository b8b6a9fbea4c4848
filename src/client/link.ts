import { closeCode, subprotocol } from '../protocol.js'
import { GateError } from './gate-error.js'
import { readMessage } from './incoming.js'
import { later, type SocketClass } from './platform.js'

/** What a socket says first. */
export interface Welcome {
  readonly session: string
  readonly user: string
  /** The channel of the path. */
  readonly channel: string
  /** When the session ends, Unix seconds. */
  readonly expires: number
}

/** What was published by others. */
export interface Message<Data = unknown> {
  readonly channel: string
  readonly data: Data
  /** Who published it; absent when the operator did. */
  readonly user?: string
}

export interface Request {
  readonly type: 'publish' | 'subscribe' | 'unsubscribe' | 'renew' | 'ping'
  readonly channel?: string
  readonly data?: unknown
  readonly ticket?: string
}

export type Answer = Readonly<Record<string, unknown>>

/** One open WebSocket. */
export interface Link {
  readonly welcome: Welcome
  /** Why it ended. */
  readonly ended: Promise<GateError>
  /** @throws GateError with the server's code, or `connection_lost`. An answer that does not come ends the link. */
  request(request: Request): Promise<Answer>
  /** Says goodbye, and does not wait long for the other side to do the same. */
  close(): void
}

export interface LinkOptions {
  readonly WebSocket: SocketClass
  readonly url: string
  readonly ticket: string
  readonly timeoutMs: number
  readonly onMessage: (message: Message) => void
}

interface Pending {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: GateError) => void
  readonly cancel: () => void
}

const goodbyeMs = 2000

/**
 * Opens a WebSocket with a ticket, in the subprotocols, so that no URL holds one. Resolves with its welcome.
 * @throws GateError `handshake_failed` where there was no handshake, or no welcome; `bad_reply` for another frame in its place
 */
export function openLink({ WebSocket, url, ticket, timeoutMs, onMessage }: LinkOptions): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [subprotocol.json, subprotocol.ticketPrefix + ticket])
    const pending = new Map<unknown, Pending>()
    let lastId = 0
    let isWelcome = false
    let isOver = false
    let cancelGoodbye = (): void => {}
    let end = (_: GateError): void => {}
    const ended = new Promise<GateError>(done => {
      end = done
    })

    function finish(error: GateError): void {
      if (isOver) return
      isOver = true
      socket.onmessage = socket.onclose = null
      cancelOpening()
      cancelGoodbye()
      reject(error)
      for (const { reject: fail, cancel } of pending.values()) {
        cancel()
        fail(connectionLost())
      }
      pending.clear()
      end(error)
    }

    function abandon(error: GateError): void {
      finish(error)
      socket.close()
    }

    const cancelOpening = later(timeoutMs, () => abandon(handshakeFailed))

    const link: Omit<Link, 'welcome'> = {
      ended,
      request: request =>
        new Promise((done, fail) => {
          if (isOver) return fail(connectionLost())
          const id = ++lastId
          // First: what JSON can not hold is thrown, and nothing waits for its answer.
          const text = JSON.stringify({ ...request, id })
          const cancel = later(timeoutMs, () =>
            abandon(new GateError('timeout', 'The server did not answer in time.', 'time')),
          )
          pending.set(id, { resolve: done, reject: fail, cancel })
          socket.send(text)
        }),
      close() {
        socket.close(1000)
        const closed = new GateError('closed', 'The connection was closed by its owner.')
        cancelGoodbye = later(goodbyeMs, () => finish(closed))
      },
    }

    function hear(message: Answer): void {
      const { type, id } = message
      if (type === 'message') return onMessage(messageOf(message))
      if (type === 'welcome') {
        isWelcome = true
        cancelOpening()
        return resolve({ ...link, welcome: message as unknown as Welcome })
      }
      const request = pending.get(id)
      if (request === undefined) return
      pending.delete(id)
      request.cancel()
      if (type === 'error') request.reject(new GateError(String(message.code), String(message.detail)))
      else request.resolve(message)
    }

    socket.onmessage = ({ data }: { data: unknown }) => {
      const message = readMessage(data)
      if (message === undefined) abandon(badMessage())
      else hear(message)
    }
    socket.onclose = ({ code, reason }: { code: number; reason: string }) =>
      finish(code === 1006 && !isWelcome ? handshakeFailed : closeError(code, reason))
    // What follows it says as much as a page may know; without a listener, `ws` would throw.
    socket.onerror = () => {}
  })
}

const messageOf = ({ channel, data, user }: Answer): Message => ({
  channel: String(channel),
  data,
  ...(typeof user === 'string' ? { user } : {}),
})

const connectionLost = (): GateError =>
  new GateError('connection_lost', 'The connection ended before the answer came.', 'time')

const badMessage = (): GateError =>
  new GateError('bad_reply', 'The server sent what is no message of the protocol.', 'time')

const handshakeFailed = new GateError('handshake_failed', 'The server did not open the connection.', 'time')

/** What a close frame means for those who want to come back. */
function closeError(code: number, reason: string): GateError {
  switch (code) {
    case closeCode.sessionExpired:
      return new GateError('session_expired', 'The session has ended.', 'token')
    case closeCode.revoked:
      return new GateError('revoked', 'The session was revoked.')
    case closeCode.rateLimited:
      return new GateError('rate_limited', 'Too many messages were sent.', 'time', waitIn(reason))
    case closeCode.draining:
      return new GateError('draining', 'The server is shutting down.', 'time', waitIn(reason))
    case closeCode.messageTooBig:
      return new GateError('message_too_big', `A message was too big: ${reason}.`, 'time')
    default:
      return new GateError('connection_lost', `The connection ended (${code}).`, 'time')
  }
}

function waitIn(reason: string): number | undefined {
  const found = /retry_after_ms=(\d{1,9})/.exec(reason)?.[1]
  return found === undefined ? undefined : Number(found)
}
