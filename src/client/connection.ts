import type { Credential } from './credentials.js'
import type { Listener } from './events.js'
import type { GateError } from './gate-error.js'
import type { Message, Welcome } from './messages.js'
import type { Fetch, SocketClass } from './platform.js'

/** The URL of the server, and how to request tickets from it. */
export interface ServerOptions extends Credential {
  /** As `https://gate.example.com`; in a page also relative to it. */
  readonly url: string
  /** @default the global one */
  readonly fetch?: Fetch
  /** How long the server may take for one reply, in milliseconds. @default 10000 */
  readonly timeoutMs?: number
}

export interface ConnectOptions extends ServerOptions {
  /**
   * The channel to open, and the default of `publish`.
   * @default the channel with the empty name
   */
  readonly channel?: string
  /**
   * Requests tickets that open only this channel; no other can be subscribed to then. Has no effect
   * with `getTicket`.
   * @default false
   */
  readonly channelOnly?: boolean
  /** The class to open sockets with; needed on Node before 22. @default the global one */
  readonly WebSocket?: SocketClass
  /** The limit of the first wait, in milliseconds; it doubles with each failure. @default 500 */
  readonly minDelayMs?: number
  /**
   * The limit of every wait, in milliseconds. A wait requested by the server, at most ten minutes,
   * is added.
   * @default 30000
   */
  readonly maxDelayMs?: number
}

/** `waiting`: until the next attempt. `closed`: for good. */
export type State = 'connecting' | 'open' | 'waiting' | 'closed'

export interface Retry {
  readonly error: GateError
  /** The number of consecutive failed attempts, including this one. */
  readonly failures: number
  readonly delayMs: number
}

export interface Events<Data> {
  readonly state: State
  /** A socket is open, the first or a later one. */
  readonly open: Welcome
  readonly message: Message<Data>
  /** The session was extended; its new end, Unix seconds. */
  readonly renewed: { readonly expires: number }
  /** An attempt failed, or the connection ended; another attempt follows. */
  readonly retry: Retry
  /**
   * A channel was revoked or is not covered by a renewal, or its subscription could not be restored
   * after a reconnect.
   */
  readonly lost: { readonly channel: string; readonly error: GateError }
  /** The end: `close()` was called, or no further attempt can help. The error says which. */
  readonly close: GateError
}

export interface Connection<Data = unknown> extends AsyncIterable<Message<Data>> {
  readonly state: State
  /** Returns a function that removes the listener. */
  on<Name extends keyof Events<Data>>(name: Name, listener: Listener<Events<Data>[Name]>): () => void
  /** Resolves once the connection is open. @throws GateError if it is closed for good */
  opened(): Promise<void>
  /**
   * Resolves when the server has accepted the message. Nothing is queued while there is no
   * connection.
   * @throws GateError `not_open`; `connection_lost` if it is unknown whether it was sent; or the
   *   server's code
   */
  publish(data: Data, channel?: string): Promise<void>
  /**
   * Resolves once the channel is subscribed to, or `unsubscribe` was called meanwhile. The
   * subscription survives reconnects. @throws GateError with the server's code
   */
  subscribe(channel: string): Promise<void>
  unsubscribe(channel: string): Promise<void>
  /**
   * Iterates over messages from now on, across reconnects. The loop ends when the connection is
   * closed, and throws when the connection gives up. If more than `limit` messages are waiting, it
   * throws a GateError `reader_too_slow`. `for await (const message of connection)` does the same
   * with a limit of 1024.
   */
  messages(limit?: number): AsyncIterableIterator<Message<Data>>
  /** Ends the connection for good; resolves when the socket is closed. */
  close(): Promise<void>
}
