import type { RefusalCode } from '../errors.js'
import { asciiBytes, EventWriter } from './event-writer.js'
import { LogSampler } from './log-sampler.js'
import type { CloseReason, LoginRefusalReason } from './metrics.js'

/** What is known about an open socket. */
interface OpenSocket {
  readonly socket: string
  readonly user: string
  readonly session: string
  /** The channel in its path. */
  readonly channel: string
}

/** A user joins or leaves a channel on an open socket. */
interface Subscription {
  readonly socket: string
  readonly user: string
  readonly channel: string
}

/** The events that an operator can receive, by type. They contain no secrets. */
export interface EventFields {
  /**
   * A socket whose user is known. `subscribed`: whether it is subscribed to the channel in its
   * path.
   */
  readonly opened: OpenSocket & {
    /** When its session ends, Unix seconds. */
    readonly expires: number
    readonly subscribed: boolean
  }
  /**
   * The end of a socket and of all its subscriptions. `by` is why the gate closed it, if it did.
   */
  readonly closed: OpenSocket & {
    readonly code: number
    readonly reason: string
    readonly by: CloseReason
  }
  readonly subscribed: Subscription
  readonly unsubscribed: Subscription
  /** A refused handshake. User and channel are present if the ticket was issued by this gate. */
  readonly refused: {
    readonly code: RefusalCode
    readonly user?: string
    readonly channel?: string
    /** How many were omitted before this one. */
    readonly omitted?: number
  }
  readonly login: { readonly user: string }
  /** `user` is present if it exists. */
  readonly login_refused: {
    readonly reason: LoginRefusalReason
    readonly user?: string
    readonly omitted?: number
  }
  /** What was disconnected, as in `POST /disconnect`. */
  readonly revoked: {
    readonly user?: string
    readonly session?: string
    readonly socket?: string
    readonly channel?: string
    readonly all?: true
    /** Until when sockets may renew, Unix seconds. If absent, they are closed. */
    readonly renewBy?: number
    readonly reason?: string
  }
  readonly draining: { readonly withinSeconds: number }
  /** Events were missed: the reader must fetch the state of sockets again. */
  readonly reset: { readonly reason: ResetReason }
}

/**
 * start:  the reader named no position
 * gap:    later events are no longer kept, or belong to an earlier life of the gate
 * slow:   the reader could not keep up
 * thread: a thread has died, and its sockets with it
 */
export type ResetReason = 'start' | 'gap' | 'slow' | 'thread'

export type EventType = keyof EventFields

/** Limit per second and thread on events that anybody can trigger. */
const mostRefusals = 100

const head = (type: EventType): Uint8Array => asciiBytes(`event: ${type}\ndata: {"atMs":`)

/** How each event begins. */
const heads: Readonly<Record<EventType, Uint8Array>> = {
  opened: head('opened'),
  closed: head('closed'),
  subscribed: head('subscribed'),
  unsubscribed: head('unsubscribed'),
  refused: head('refused'),
  login: head('login'),
  login_refused: head('login_refused'),
  revoked: head('revoked'),
  draining: head('draining'),
  reset: head('reset'),
}

const comma = asciiBytes(',')
const tail = asciiBytes('}\n\n')

let latestMs = 0
let latestText = asciiBytes('0')

/** The digits of a time. Many events share a millisecond. */
function timeOf(ms: number): Uint8Array {
  if (ms !== latestMs) {
    latestMs = ms
    latestText = asciiBytes(String(ms))
  }
  return latestText
}

/**
 * Receives events. Callers check first whether it is on, so nothing is built while there are no
 * readers.
 */
export class EventSink {
  isOn = false
  readonly #writer = new EventWriter()
  readonly #onEvent: (events: EventWriter) => void
  readonly #clock: () => number
  readonly #sampler = new LogSampler(undefined, mostRefusals)

  /** @param onEvent called after each event, with all that have not been taken */
  constructor(onEvent: (events: EventWriter) => void, clock: () => number) {
    this.#onEvent = onEvent
    this.#clock = clock
  }

  tell<Type extends EventType>(type: Type, fields: EventFields[Type]): void {
    const json = JSON.stringify(fields).slice(1, -1)
    this.begin(type, json.length).ascii(comma).json(json)
    this.end()
  }

  /** For events that anybody can trigger: floods are sampled. */
  tellSampled<Type extends 'refused' | 'login_refused'>(type: Type, fields: () => EventFields[Type]): void {
    const sample = this.#sampler.take(type, this.#clock())
    if (sample !== undefined) this.tell(type, { ...fields(), ...sample })
  }

  /**
   * Begins an event, for the most frequent ones, which write their members themselves. Call
   * {@link end} next.
   * @param units how many UTF-16 code units the texts in it have
   */
  begin(type: EventType, units: number): EventWriter {
    this.#writer.reserve(units)
    return this.#writer.ascii(heads[type]).ascii(timeOf(Math.floor(this.#clock())))
  }

  end(): void {
    this.#writer.ascii(tail).end()
    this.#onEvent(this.#writer)
  }
}

// Every character except those that JSON strings contain unescaped.
const special = /[^ !#-[\]-~]/

/** Returns text as a JSON string. */
export const quoted = (text: string): string => (special.test(text) ? JSON.stringify(text) : `"${text}"`)
