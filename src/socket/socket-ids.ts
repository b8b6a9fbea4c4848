import { randomBytes } from 'node:crypto'

/**
 * Numbers the sockets of one thread. Ids start with what distinguishes the thread from all others,
 * including other nodes and earlier lives, so a socket stores only its number.
 */
export class SocketIds {
  /** The prefix of the ids of this thread. */
  readonly thread = randomBytes(6).toString('base64url')
  #last = 0

  /** The number for a new socket. */
  next(): number {
    return ++this.#last
  }

  idOf(number: number): string {
    return `${this.thread}.${number}`
  }

  /** The number in an id; undefined if the socket is elsewhere. */
  numberOf(id: string): number | undefined {
    const [thread, number] = id.split('.')
    return thread === this.thread ? Number(number) : undefined
  }

  /**
   * The number after which the sockets of this thread follow `id` in the order of ids; undefined if
   * none do.
   */
  floorAfter(id: string): number | undefined {
    const [thread = '', number] = id.split('.')
    if (thread === this.thread) return Number(number)
    return thread < this.thread ? 0 : undefined
  }
}
