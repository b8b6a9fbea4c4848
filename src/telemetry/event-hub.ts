import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import { EventSink, type PackedEvent, packEvent, type ResetReason } from './events.js'

/** How long events are kept after the last reader has left, because it may come back. */
const lingerMs = 300_000

/** An event with its position in the stream of one life of a gate. */
export interface StreamedEvent extends PackedEvent {
  readonly id: string
}

export interface EventHubOptions {
  /** How many events to keep. */
  readonly capacity: number
  /** The name of this gate, '' for none. */
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
  /** Prefix of the ids of this life. */
  readonly #life: string
  /** Event N is at index N modulo the capacity. */
  #ring: PackedEvent[] = []
  #first = 1
  #last = 0
  readonly #readers = new Set<EventReader>()
  #isWaking = false
  #isClosed = false
  #linger: NodeJS.Timeout | undefined

  constructor(options: EventHubOptions) {
    this.#options = options
    const life = randomBytes(6).toString('hex')
    this.#life = options.node === '' ? life : `${options.node}.${life}`
    this.sink = new EventSink(event => this.add(event), options.clock)
  }

  get first(): number {
    return this.#first
  }

  get last(): number {
    return this.#last
  }

  /** Adds an event of any thread. */
  add(event: PackedEvent): void {
    if (!this.sink.isOn) return
    this.#last++
    this.#ring[this.#last % this.#options.capacity] = event
    if (this.#last - this.#first === this.#options.capacity) this.#first++
    this.#wake()
  }

  /**
   * Starts reading: after the event with that id if all later ones are kept, else with a `reset`.
   * @param wake called in a separate turn when there is more to read, and when the hub is closed
   */
  read(lastId: string | undefined, wake: () => void): EventReader {
    clearTimeout(this.#linger)
    this.#watch(true)
    const number = lastId === undefined ? undefined : this.#numberOf(lastId)
    const reader = new EventReader(this, {
      at: number ?? this.#last,
      lapse: number !== undefined ? undefined : lastId === undefined ? 'start' : 'gap',
      wake,
      leave: left => this.#leave(left),
    })
    if (this.#isClosed) reader.close()
    else this.#readers.add(reader)
    return reader
  }

  /** Returns the event with a number, or a `reset` if the reader has missed some. */
  at(number: number, lapse: ResetReason | undefined): StreamedEvent {
    const event = lapse === undefined ? this.#ring[number % this.#options.capacity] : this.#reset(lapse)
    return { id: `${this.#life}.${number}`, ...(event ?? this.#reset('gap')) }
  }

  /** Ends the stream. Readers read the rest and end. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#linger)
    for (const reader of [...this.#readers]) reader.finish()
  }

  #reset(reason: ResetReason): PackedEvent {
    return packEvent('reset', { reason }, this.#options.clock())
  }

  /** Returns undefined for an id of another life, or if later events are no longer kept. */
  #numberOf(id: string): number | undefined {
    const dot = id.lastIndexOf('.')
    const digits = id.slice(dot + 1)
    if (id.slice(0, Math.max(0, dot)) !== this.#life || !/^\d{1,16}$/.test(digits)) return undefined
    const number = Number(digits)
    return number >= this.#first - 1 && number <= this.#last ? number : undefined
  }

  #leave(reader: EventReader): void {
    this.#readers.delete(reader)
    if (this.#readers.size > 0 || this.#isClosed) return
    this.#linger = setTimeout(() => this.#forget(), lingerMs)
    this.#linger.unref()
  }

  #forget(): void {
    this.#watch(false)
    this.#ring = []
    // Skips a number, so that the numbers show that something is missing.
    this.#last++
    this.#first = this.#last + 1
  }

  #watch(isWatched: boolean): void {
    if (this.sink.isOn === isWatched) return
    this.sink.isOn = isWatched
    this.#options.onWatched(isWatched)
  }

  /** Wakes readers once per turn of the event loop. */
  #wake(): void {
    if (this.#isWaking || this.#readers.size === 0) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      for (const reader of [...this.#readers]) reader.wake()
    })
  }
}

interface Place {
  /** The number of the event read last. */
  readonly at: number
  /** Why the next event is a `reset`. */
  readonly lapse: ResetReason | undefined
  readonly wake: () => void
  readonly leave: (reader: EventReader) => void
}

/** A position in the stream of events. */
export class EventReader {
  readonly #hub: EventHub
  readonly #place: Place
  #at: number
  #lapse: ResetReason | undefined
  #isOver = false

  constructor(hub: EventHub, place: Place) {
    this.#hub = hub
    this.#place = place
    this.#at = place.at
    this.#lapse = place.lapse
  }

  /** Whether there is nothing more to read, ever. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Returns the next event. Undefined if there is none yet. */
  take(): StreamedEvent | undefined {
    if (this.#lapse === undefined && this.#at + 1 < this.#hub.first) this.#lapse = 'slow'
    if (this.#lapse !== undefined) {
      const lapse = this.#lapse
      this.#lapse = undefined
      // The reader must now read the current state, so older events are of no use to it.
      this.#at = this.#hub.last
      return this.#hub.at(this.#at, lapse)
    }
    if (this.#at === this.#hub.last) return undefined
    this.#at++
    return this.#hub.at(this.#at, undefined)
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
}
