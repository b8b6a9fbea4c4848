import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.js'
import { EventSink, type PackedEvent, packEvent, type ResetReason } from './events.js'

/** How long events are kept after the last reader has left: it may come back for them. */
const lingerMs = 300_000

/** An event with its place in the stream of one life of a gate. */
export interface StreamedEvent extends PackedEvent {
  readonly id: string
}

export interface EventHubOptions {
  /** How many events are kept. */
  readonly capacity: number
  /** Of this gate, '' for none. */
  readonly node: string
  readonly clock: Clock
  /** Told whether the threads have to tell what happens. */
  readonly onWatched: (isWatched: boolean) => void
}

/**
 * The events of all threads of a gate, as one numbered stream: the latest are kept, readers take them at
 * their own pace, and one that falls behind is told so. Without readers nothing is told and nothing kept.
 */
export class EventHub {
  /** Where this thread tells what happens. */
  readonly sink: EventSink
  readonly #options: EventHubOptions
  /** What the ids of this life begin with. */
  readonly #life: string
  /** Event N is at N modulo the capacity. */
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

  /** Adds what has happened in whatever thread. */
  add(event: PackedEvent): void {
    if (!this.sink.isOn) return
    this.#last++
    this.#ring[this.#last % this.#options.capacity] = event
    if (this.#last - this.#first === this.#options.capacity) this.#first++
    this.#wake()
  }

  /**
   * Begins to read: after the event of that id if it is known what followed, else with a `reset`.
   * @param wake called in a turn of its own when there is more to read, and when the hub is closed
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

  /** The event of a number; a `reset` where the reader has missed some. */
  at(number: number, lapse: ResetReason | undefined): StreamedEvent {
    const event = lapse === undefined ? this.#ring[number % this.#options.capacity] : this.#reset(lapse)
    return { id: `${this.#life}.${number}`, ...(event ?? this.#reset('gap')) }
  }

  /** Nothing more will happen: readers take what is left, and end. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#linger)
    for (const reader of [...this.#readers]) reader.finish()
  }

  #reset(reason: ResetReason): PackedEvent {
    return packEvent('reset', { reason }, this.#options.clock())
  }

  /** Undefined for an id of another life, or one after which something is kept no more. */
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
    // What happens from now on gets no number, so the numbers say that something is missing.
    this.#last++
    this.#first = this.#last + 1
  }

  #watch(isWatched: boolean): void {
    if (this.sink.isOn === isWatched) return
    this.sink.isOn = isWatched
    this.#options.onWatched(isWatched)
  }

  /** Once for all that happens in a turn of the event loop. */
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
  /** The number of the event that was taken last. */
  readonly at: number
  /** Why the next thing to take is a `reset`. */
  readonly lapse: ResetReason | undefined
  readonly wake: () => void
  readonly leave: (reader: EventReader) => void
}

/** A place in the stream of events. */
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

  /** Whether there will be nothing more to take. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The next event; undefined if there is none yet. */
  take(): StreamedEvent | undefined {
    if (this.#lapse === undefined && this.#at + 1 < this.#hub.first) this.#lapse = 'slow'
    if (this.#lapse !== undefined) {
      const lapse = this.#lapse
      this.#lapse = undefined
      // What is kept is of no use to it any more: it has to read the state of now.
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

  /** Lets it take what is left, and ends it. */
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
