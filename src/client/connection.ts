import type { Listener } from './events.js'
import type { GateError } from './gate-error.js'
import type { Message, Welcome } from './link.js'
import type { Fetch, SocketClass } from './platform.js'

export interface TokenRequest {
  /** The token of the last time will not do: it was refused, or ends soon. Where it is false, one kept may be given. */
  readonly fresh: boolean
}

export interface ConnectOptions {
  /** Where the server is, as `https://gate.example.com`; in a page also relative to it. */
  readonly url: string
  /**
   * The token to trade for tickets. Asked before every attempt, so keep it where you can. What it throws counts as a
   * failure that may pass; throw a `GateError` to give up instead.
   */
  readonly getToken: (request: TokenRequest) => string | Promise<string>
  /**
   * The channel that is opened, and the default of `publish`.
   * @default the channel with the empty name
   */
  readonly channel?: string
  /** Takes tickets that are good for that channel alone; then no other can be subscribed to. @default false */
  readonly channelOnly?: boolean
  /** @default the global one */
  readonly fetch?: Fetch
  /** The class to open sockets with; needed on Node before 22. @default the global one */
  readonly WebSocket?: SocketClass
  /** The limit of the first wait; it doubles from failure to failure. @default 500 */
  readonly minDelayMs?: number
  /** The limit of every wait; one that the server asks for, ten minutes at most, comes before it. @default 30000 */
  readonly maxDelayMs?: number
  /** How long the server may take for one answer. @default 10000 */
  readonly timeoutMs?: number
}

/** `waiting`: for the next attempt. `closed`: for good. */
export type State = 'connecting' | 'open' | 'waiting' | 'closed'

export interface Retry {
  readonly error: GateError
  /** The attempts that have failed in a row, this one included. */
  readonly failures: number
  readonly delayMs: number
}

export interface Events<Data> {
  readonly state: State
  /** A socket is open, the first or a later one. */
  readonly open: Welcome
  readonly message: Message<Data>
  /** The session ends later than it did, Unix seconds. */
  readonly renewed: { readonly expires: number }
  /** It did not work, or no longer does, and will be tried again. */
  readonly retry: Retry
  /** After a reconnect, a channel could not be subscribed to again. */
  readonly lost: { readonly channel: string; readonly error: GateError }
  /** The end: `close()` was called, or no further attempt can help. The error says which. */
  readonly close: GateError
}

export interface Connection<Data = unknown> extends AsyncIterable<Message<Data>> {
  readonly state: State
  /** Answers what takes the listener off again. */
  on<Name extends keyof Events<Data>>(name: Name, listener: Listener<Events<Data>[Name]>): () => void
  /** Resolves while it is open, or when it is. @throws GateError when it is closed for good */
  opened(): Promise<void>
  /**
   * Resolves when the server has sent it on. Nothing is kept for later.
   * @throws GateError `not_open`; `connection_lost` where it is unknown; or the server's code
   */
  publish(data: Data, channel?: string): Promise<void>
  /** Resolves when it is heard from then on, over all reconnects. @throws GateError with the server's code */
  subscribe(channel: string): Promise<void>
  unsubscribe(channel: string): Promise<void>
  /**
   * Reads messages from now on, over all reconnects; the loop ends when the connection is closed, and throws when it is
   * given up. A reader that lets more than `limit` messages wait gets a GateError `reader_too_slow`.
   * `for await (const message of connection)` does the same with a limit of 1024.
   */
  messages(limit?: number): AsyncIterableIterator<Message<Data>>
  /** Ends it for good; resolves when the socket is closed. */
  close(): Promise<void>
}
