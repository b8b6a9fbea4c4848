import { randomBytes } from 'node:crypto'

/**
 * Numbers the sockets of one thread. What tells a thread from all others, of other nodes and other
 * lives too, comes first in an id, so a socket keeps no more than its number.
 */
export class SocketIds {
  /** What comes first in the ids of this thread. */
  readonly thread = randomBytes(6).toString('base64url')
  #last = 0

  /** The number of one more socket. */
  next(): number {
    return ++this.#last
  }

  idOf(number: number): string {
    return `${this.thread}.${number}`
  }

  /** The number in an id; undefined if that is the id of a socket elsewhere. */
  numberOf(id: string): number | undefined {
    const [thread, number] = id.split('.')
    return thread === this.thread ? Number(number) : undefined
  }

  /**
   * The number above which the sockets of this thread follow `id` in the order of ids; undefined if
   * none do.
   */
  floorAfter(id: string): number | undefined {
    const [thread = '', number] = id.split('.')
    if (thread === this.thread) return Number(number)
    return thread < this.thread ? 0 : undefined
  }
}
