import type { Child } from './child.js'
import type { TokenSource } from './tokens.js'

export const targetNames = [
  'floor',
  'bare floor',
  'ticketgate',
  'ticketgate on redis',
  'express',
  'fastify',
  'go',
  'redis',
  'socketio',
] as const
export type TargetName = (typeof targetNames)[number]

/** The protocol of a target's clients. */
export interface Wire {
  /**
   * Lines for the opener, one per connection. Their tickets are issued outside the measured time.
   */
  lines(target: Target, count: number, channel?: string): Promise<string[]>
  /** Data frames the server sends before a connection counts as open. */
  readonly greetingFrames: number
  /** A message to the channel of the connection. With an id, it is acknowledged. */
  publication(data: string, id?: number): string
}

/** A server under measurement: separate processes, listening on loopback. */
export interface Target {
  readonly name: TargetName
  readonly child: Child
  /** All processes whose CPU time counts, including a store of the server. */
  readonly pids: readonly number[]
  readonly host: string
  readonly port: number
  /** The admin listener, for `POST /publish`. */
  readonly admin?: { readonly port: number; readonly key: string }
  readonly wire: Wire
  /** Bearer tokens for this server (the floor accepts anything of the same size). */
  readonly tokens: TokenSource
  /** Logins with the hash of a production server, and with the cheapest that ticketgate accepts. */
  readonly logins: Logins
  /** The code of each refusal. Undefined if it refuses nothing, or only after the 101. */
  readonly refusals?: { readonly replay: string; readonly forgery: string }
  /** Its share of the operations of a round: less for a slow target, so that rounds stay short. */
  readonly share: number
  /** Why it does not support a scenario or a row, by name. */
  readonly cannot: Readonly<Record<string, string>>
  /** Starts another, fresh one, with these additional environment variables. */
  another(env?: Readonly<Record<string, string>>): Promise<Target>
  stop(): Promise<void>
}

export interface Login {
  readonly user: string
  readonly pwd: string
}

export interface Logins {
  readonly production: Login
  readonly cheap: Login
}
