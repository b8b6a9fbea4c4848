import type { PackedEvent } from './events.js'

/** Approximate size of an event. */
const bytesPerEvent = 400

/**
 * The latest events of one life of a gate, as they are sent, in memory of fixed size. Strings that
 * are kept for minutes would cost more: the garbage collector copies each of them, twice.
 */
export class EventRing {
  readonly #capacity: number
  readonly #bytes: Buffer
  /** Where event N starts and ends, at index N modulo the capacity. */
  readonly #starts: Uint32Array
  readonly #ends: Uint32Array
  /** Prefix of the ids. */
  readonly #life: string
  #head = 0
  #first: number
  #last: number

  /** @param last the number before that of the first event */
  constructor(capacity: number, life: string, last: number) {
    this.#capacity = capacity
    this.#bytes = Buffer.alloc(capacity * bytesPerEvent)
    this.#starts = new Uint32Array(capacity)
    this.#ends = new Uint32Array(capacity)
    this.#life = life
    this.#first = last + 1
    this.#last = last
  }

  /** The number of the oldest event kept. */
  get first(): number {
    return this.#first
  }

  get last(): number {
    return this.#last
  }

  add(event: PackedEvent): void {
    const number = this.#last + 1
    const frame = frameOf(this.#life, number, event)
    // A UTF-16 code unit takes at most three bytes of UTF-8.
    const most = frame.length * 3
    if (this.#head + most > this.#bytes.length) this.#startOver()
    this.#makeRoom(most)
    const start = this.#head
    this.#head += this.#bytes.write(frame, start)
    this.#last = number
    this.#starts[number % this.#capacity] = start
    this.#ends[number % this.#capacity] = this.#head
  }

  /** Returns an event that is kept, as it is sent. */
  frame(number: number): string {
    const at = number % this.#capacity
    return this.#bytes.toString('utf8', this.#starts[at], this.#ends[at])
  }

  /**
   * Returns events that are kept, as they are sent, from a number on.
   * @returns the bytes, a view that is valid in this turn, and the number of the last event in them
   */
  frames(from: number, mostBytes: number): readonly [bytes: Uint8Array, to: number] {
    const start = this.#starts[from % this.#capacity] ?? 0
    let to = from
    let end = this.#ends[from % this.#capacity] ?? 0
    while (to < this.#last) {
      const next = (to + 1) % this.#capacity
      // The next one is elsewhere if the end of the memory was reached.
      if (this.#starts[next] !== end || end - start > mostBytes) break
      end = this.#ends[next] ?? end
      to++
    }
    return [this.#bytes.subarray(start, end), to]
  }

  /**
   * Moves the head to the start of the memory. Events behind the head are older than those there.
   */
  #startOver(): void {
    while (this.#first <= this.#last && this.#startOf(this.#first) >= this.#head) this.#first++
    this.#head = 0
  }

  /** Removes the oldest events, where the next one goes. */
  #makeRoom(bytes: number): void {
    if (this.#last - this.#first + 1 === this.#capacity) this.#first++
    const end = this.#head + bytes
    while (this.#first <= this.#last) {
      const start = this.#startOf(this.#first)
      if (start < this.#head || start >= end) return
      this.#first++
    }
  }

  #startOf(number: number): number {
    return this.#starts[number % this.#capacity] ?? 0
  }
}

/**
 * Returns an event as a server-sent event. JSON has no line breaks, so it needs one line of data.
 */
export const frameOf = (life: string, number: number, { type, data }: PackedEvent): string =>
  `id: ${life}.${number}\nevent: ${type}\ndata: ${data}\n\n`
