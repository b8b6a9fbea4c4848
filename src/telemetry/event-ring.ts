import { asciiBytes, writeNatural } from './event-writer.js'

/** Approximate size of an event. */
const bytesPerEvent = 400

const mostDigits = 16
const lineFeed = 0x0a

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
  /** How each event begins, up to its number. */
  readonly #start: Uint8Array
  #head = 0
  #first: number
  #last: number

  /** @param last the number before that of the first event */
  constructor(capacity: number, life: string, last: number) {
    this.#capacity = capacity
    this.#bytes = Buffer.alloc(capacity * bytesPerEvent)
    this.#starts = new Uint32Array(capacity)
    this.#ends = new Uint32Array(capacity)
    this.#start = asciiBytes(`id: ${life}.`)
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

  /** Adds an event that has no id yet: the bytes from one position to another. */
  add(event: Uint8Array, from: number, to: number): void {
    const number = this.#last + 1
    const most = this.#start.length + mostDigits + 1 + to - from
    if (this.#head + most > this.#bytes.length) this.#startOver()
    this.#makeRoom(most)
    const bytes = this.#bytes
    const start = this.#head
    bytes.set(this.#start, start)
    let at = writeNatural(bytes, start + this.#start.length, number)
    bytes[at++] = lineFeed
    bytes.set(event.subarray(from, to), at)
    at += to - from
    this.#head = at
    this.#last = number
    this.#starts[number % this.#capacity] = start
    this.#ends[number % this.#capacity] = at
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
