/** An item that is waiting for its turn on a channel. */
export interface Queued {
  readonly channel: string
  /** The memory that it takes, in bytes. */
  readonly bytes: number
}

export interface QueueLimits {
  /** The limit per channel, in bytes. */
  readonly channelBytes: number
  /**
   * The limit for all channels, in bytes. A channel without waiting items may exceed it, by as much
   * again in total.
   */
  readonly totalBytes: number
}

interface Place<Item> {
  readonly item: Item
  next: Place<Item> | undefined
}

interface Line<Item> {
  first: Place<Item>
  last: Place<Item>
  bytes: number
}

/**
 * A bounded queue with a line for each channel. Each line keeps its order, and the lines take
 * turns, so a busy channel does not delay the others.
 */
export class PublicationQueue<Item extends Queued> {
  readonly #limits: QueueLimits
  /** In the order of their turns. */
  readonly #lines = new Map<string, Line<Item>>()
  #bytes = 0

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get isEmpty(): boolean {
    return this.#lines.size === 0
  }

  /** The size of all waiting items, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether something waits on a channel. */
  has(channel: string): boolean {
    return this.#lines.has(channel)
  }

  hasRoom(channel: string, bytes: number): boolean {
    const { channelBytes, totalBytes } = this.#limits
    const line = this.#lines.get(channel)
    if (line === undefined) return this.#bytes + bytes <= 2 * totalBytes
    return line.bytes + bytes <= channelBytes && this.#bytes + bytes <= totalBytes
  }

  /** Adds an item to the end of the line of its channel, regardless of the limits. */
  add(item: Item): void {
    const place = { item, next: undefined }
    const line = this.#lines.get(item.channel)
    this.#bytes += item.bytes
    if (line === undefined) {
      this.#lines.set(item.channel, { first: place, last: place, bytes: item.bytes })
      return
    }
    line.last.next = place
    line.last = place
    line.bytes += item.bytes
  }

  /**
   * Lets the next channel in turn take one step with its first item; `step` returns whether the
   * item is done. Does nothing if the queue is empty.
   */
  turn(step: (item: Item) => boolean): void {
    const entry = this.#lines.entries().next()
    if (entry.done) return
    const [channel, line] = entry.value
    const { item } = line.first
    const isDone = step(item)
    // To the end of the line, or removed.
    this.#lines.delete(channel)
    if (isDone) {
      this.#bytes -= item.bytes
      line.bytes -= item.bytes
      if (line.first.next === undefined) return
      line.first = line.first.next
    }
    this.#lines.set(channel, line)
  }

  clear(): void {
    this.#lines.clear()
    this.#bytes = 0
  }
}
