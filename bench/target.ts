import type { Child } from './child.js'
import type { TokenSource } from './tokens.js'

export const targetNames = [
  'floor',
  'ticketgate',
  'ticketgate on redis',
  'express',
  'fastify',
  'go',
  'redis',
  'socketio',
] as const
export type TargetName = (typeof targetNames)[number]

/** How a client of the target speaks. */
export interface Wire {
  /** Lines for the opener, each good for one connection: tickets are taken for them, outside the measured time. */
  lines(target: Target, count: number, channel?: string): Promise<string[]>
  /** Data frames the server sends before a connection counts as open. */
  readonly greetingFrames: number
  /** The text of a message to the channel of the connection; with an id, it is acknowledged. */
  publication(data: string, id?: number): string
}

/** A server under measurement: its own processes, listening on loopback. */
export interface Target {
  readonly name: TargetName
  readonly child: Child
  /** All processes whose CPU time counts: a store beside the server is part of it. */
  readonly pids: readonly number[]
  readonly host: string
  readonly port: number
  /** Where `POST /publish` goes. */
  readonly admin?: { readonly port: number; readonly key: string }
  readonly wire: Wire
  /** Bearer tokens this server accepts (the floor accepts anything, of the same size). */
  readonly tokens: TokenSource
  /** Logins with the hash of a production server, and with the cheapest that ticketgate accepts. */
  readonly logins: Logins
  /** The code of each refusal; undefined when it refuses nothing, or after the 101. */
  readonly refusals?: { readonly replay: string; readonly forgery: string }
  /** Its share of the operations of a round: less for a slow one, so that a round stays short. */
  readonly share: number
  /** Why it can not do a scenario or a row, by its name. */
  readonly cannot: Readonly<Record<string, string>>
  /** Another one like it, fresh, with these environment variables besides. */
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
