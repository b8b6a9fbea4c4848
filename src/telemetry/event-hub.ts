import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import { EventRing } from './event-ring.js'
import type { PackedEvents } from './event-writer.js'
import { EventSink, type ResetReason } from './events.js'

/** How long events are kept after the last reader has left, because it may come back. */
const lingerMs = 300_000

/** How long events wait to be sent together. */
const wakeAfterMs = 10

export interface EventHubOptions {
  /** How many events to keep. */
  readonly capacity: number
  /** The name of this gate, '' if it has none. */
  readonly node: string
  readonly clock: Clock
  /** Called when the threads must start or stop reporting events. */
  readonly onWatched: (isWatched: boolean) => void
}

/**
 * The events of all threads of a gate as one numbered stream. The latest are kept. Readers read at
 * their own pace, and are told if they fall behind. Without readers, nothing is reported or kept.
 */
export class EventHub {
  /** The sink for events of this thread. */
  readonly sink: EventSink
  readonly #options: EventHubOptions
  /** Prefix of the ids of this life of the gate. */
  readonly #life: string
  /** Undefined while there are no readers. */
  #ring: EventRing | undefined
  /** The number of the last event before the ring. */
  #last = 0
  readonly #readers = new Set<EventReader>()
  #isWaking = false
  #isClosed = false
  #linger: NodeJS.Timeout | undefined

  constructor(options: EventHubOptions) {
    this.#options = options
    const life = randomBytes(6).toString('hex')
    this.#life = options.node === '' ? life : `${options.node}.${life}`
    this.sink = new EventSink(events => {
      this.add(events)
      events.clear()
    }, options.clock)
  }

  /** Adds events of any thread. */
  add({ bytes, ends, count }: PackedEvents): void {
    const ring = this.#ring
    if (ring === undefined) return
    let start = 0
    for (let n = 0; n < count; n++) {
      const end = ends[n] ?? 0
      ring.add(bytes, start, end)
      start = end
    }
    this.#wake()
  }

  /**
   * Starts reading: after the event with that id if all later ones are kept, else with a `reset`.
   * @param wake called in a separate turn when there is more to read, and when the hub is closed
   */
  read(lastId: string | undefined, wake: () => void): EventReader {
    clearTimeout(this.#linger)
    const ring = this.#watched()
    const number = lastId === undefined ? undefined : this.#numberOf(lastId, ring)
    const lapse = number !== undefined ? undefined : lastId === undefined ? 'start' : 'gap'
    const reader = new EventReader(ring, {
      at: number ?? ring.last,
      lapse,
      reset: (at, reason) => this.#reset(at, reason),
      wake,
      leave: left => this.#leave(left),
    })
    if (this.#isClosed) reader.close()
    else this.#readers.add(reader)
    return reader
  }

  /** Ends the stream. Readers read the rest and end. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#linger)
    for (const reader of [...this.#readers]) reader.finish()
  }

  /** Returns undefined for an id of another life, or if later events are no longer kept. */
  #numberOf(id: string, { first, last }: EventRing): number | undefined {
    const dot = id.lastIndexOf('.')
    const digits = id.slice(dot + 1)
    if (id.slice(0, Math.max(0, dot)) !== this.#life || !/^\d{1,16}$/.test(digits)) return undefined
    const number = Number(digits)
    return number >= first - 1 && number <= last ? number : undefined
  }

  /** A `reset` that only one reader gets. */
  #reset(number: number, reason: ResetReason): string {
    const atMs = Math.floor(this.#options.clock())
    return `id: ${this.#life}.${number}\nevent: reset\ndata: ${JSON.stringify({ atMs, reason })}\n\n`
  }

  #leave(reader: EventReader): void {
    this.#readers.delete(reader)
    if (this.#readers.size > 0 || this.#isClosed) return
    this.#linger = setTimeout(() => this.#forget(), lingerMs)
    this.#linger.unref()
  }

  #watched(): EventRing {
    this.#ring ??= new EventRing(this.#options.capacity, this.#life, this.#last)
    this.#watch(true)
    return this.#ring
  }

  #forget(): void {
    this.#watch(false)
    // Skips a number, so that the numbers show that something is missing.
    this.#last = (this.#ring?.last ?? this.#last) + 1
    this.#ring = undefined
  }

  #watch(isWatched: boolean): void {
    if (this.sink.isOn === isWatched) return
    this.sink.isOn = isWatched
    this.#options.onWatched(isWatched)
  }

  /**
   * Wakes readers once for all events of some milliseconds: each write costs more than an event.
   */
  #wake(): void {
    if (this.#isWaking || this.#readers.size === 0) return
    this.#isWaking = true
    setTimeout(() => {
      this.#isWaking = false
      for (const reader of [...this.#readers]) reader.wake()
    }, wakeAfterMs)
  }
}

interface Place {
  /** The number of the event read last. */
  readonly at: number
  /** Why the next event is a `reset`. */
  readonly lapse: ResetReason | undefined
  /** Returns a `reset` with a number, as it is sent. */
  readonly reset: (at: number, reason: ResetReason) => string
  readonly wake: () => void
  readonly leave: (reader: EventReader) => void
}

/** A position in the stream of events. */
export class EventReader {
  readonly #ring: EventRing
  readonly #place: Place
  #at: number
  #lapse: ResetReason | undefined
  #isOver = false

  constructor(ring: EventRing, place: Place) {
    this.#ring = ring
    this.#place = place
    this.#at = place.at
    this.#lapse = place.lapse
  }

  /** Whether there is nothing more to read, ever. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Returns the next event, as it is sent. Undefined if there is none yet. */
  take(): string | undefined {
    const reset = this.#takeReset()
    if (reset !== undefined || this.#at === this.#ring.last) return reset
    return this.#ring.frame(++this.#at)
  }

  /**
   * Returns the next events, as they are sent. Undefined if there are none yet. Use them at once.
   */
  takeSome(mostBytes: number): string | Uint8Array | undefined {
    const reset = this.#takeReset()
    if (reset !== undefined || this.#at === this.#ring.last) return reset
    const [bytes, to] = this.#ring.frames(this.#at + 1, mostBytes)
    this.#at = to
    return bytes
  }

  wake(): void {
    this.#place.wake()
  }

  /** Lets the reader read the rest, and ends it. */
  finish(): void {
    this.#isOver = true
    this.#place.wake()
    this.close()
  }

  close(): void {
    this.#isOver = true
    this.#place.leave(this)
  }

  #takeReset(): string | undefined {
    if (this.#lapse === undefined && this.#at + 1 < this.#ring.first) this.#lapse = 'slow'
    if (this.#lapse === undefined) return undefined
    const lapse = this.#lapse
    this.#lapse = undefined
    // The reader must now read the current state, so older events are of no use to it.
    this.#at = this.#ring.last
    return this.#place.reset(this.#at, lapse)
  }
}
