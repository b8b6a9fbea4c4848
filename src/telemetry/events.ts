import type { RefusalCode } from '../errors.js'
import { LogSampler } from './log-sampler.js'
import type { CloseReason, LoginRefusalReason } from './metrics.js'

/** What is known of an open socket. */
interface OpenSocket {
  readonly socket: string
  readonly user: string
  readonly session: string
  /** The channel in its path. */
  readonly channel: string
}

/** Someone joins a channel, or leaves it, on an open socket. */
interface Subscription {
  readonly socket: string
  readonly user: string
  readonly channel: string
}

/** What an operator can hear of, by its type. Nothing in here is a secret. */
export interface EventFields {
  /** A socket whose user is known. `subscribed`: whether it hears the channel in its path. */
  readonly opened: OpenSocket & {
    /** When its session ends, Unix seconds. */
    readonly expires: number
    readonly subscribed: boolean
  }
  /** The end of a socket, and of all its subscriptions. `by` is why the gate closed it, if it did. */
  readonly closed: OpenSocket & {
    readonly code: number
    readonly reason: string
    readonly by: CloseReason
  }
  readonly subscribed: Subscription
  readonly unsubscribed: Subscription
  /** A handshake. The user and the channel are there if the ticket was a ticket of this gate. */
  readonly refused: {
    readonly code: RefusalCode
    readonly user?: string
    readonly channel?: string
    /** How many were left out before this one. */
    readonly omitted?: number
  }
  readonly login: { readonly user: string }
  /** `user` is there if it exists. */
  readonly login_refused: {
    readonly reason: LoginRefusalReason
    readonly user?: string
    readonly omitted?: number
  }
  /** What was disconnected, in the words of `POST /disconnect`. */
  readonly revoked: {
    readonly user?: string
    readonly session?: string
    readonly socket?: string
    readonly channel?: string
    readonly all?: true
    /** Until when sockets may renew, Unix seconds; without it they are closed. */
    readonly renewBy?: number
    readonly reason?: string
  }
  readonly draining: { readonly withinSeconds: number }
  /** Something was missed: what is known of sockets has to be read anew. */
  readonly reset: { readonly reason: ResetReason }
}

/**
 * start:  the reader has not said where it was
 * gap:    what came after that is kept no more, or is of an earlier life of the gate
 * slow:   the reader could not keep up
 * thread: a thread has died, and its sockets with it
 */
export type ResetReason = 'start' | 'gap' | 'slow' | 'thread'

export type EventType = keyof EventFields

/** An event as it is kept and handed on. */
export interface PackedEvent {
  readonly type: EventType
  /** The fields and the time, as JSON. */
  readonly data: string
}

/** Events that anybody can cause are left out beyond so many a second, in each thread. */
const mostRefusals = 100

/**
 * Where what happens is told. Places of decision ask first whether it is on, so that as long as
 * nobody listens nothing is put together.
 */
export class EventSink {
  isOn = false
  readonly #take: (event: PackedEvent) => void
  readonly #clock: () => number
  readonly #sampler = new LogSampler(mostRefusals)

  constructor(take: (event: PackedEvent) => void, clock: () => number) {
    this.#take = take
    this.#clock = clock
  }

  tell<Type extends EventType>(type: Type, fields: EventFields[Type]): void {
    this.#take(packEvent(type, fields, this.#clock()))
  }

  /** For what anybody can cause: a flood of it is cut. */
  tellSampled<Type extends 'refused' | 'login_refused'>(type: Type, fields: () => EventFields[Type]): void {
    const sample = this.#sampler.take(type, this.#clock())
    if (sample !== undefined) this.tell(type, { ...fields(), ...sample })
  }
}

/** @param nowMs Unix milliseconds; events have whole ones */
export const packEvent = <Type extends EventType>(
  type: Type,
  fields: EventFields[Type],
  nowMs: number,
): PackedEvent => ({ type, data: `{"atMs":${Math.floor(nowMs)},${JSON.stringify(fields).slice(1)}` })
