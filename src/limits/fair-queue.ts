export interface FairQueueOptions {
  /** How many run at once. */
  readonly concurrency: number
  /** How many more may wait, over all groups. */
  readonly limit: number
}

/** Thrown if the queue has no room. */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError'
}

interface Waiting {
  start(): void
  giveUp(): void
}

/**
 * A bounded queue that groups share fairly, by taking turns. If it is full, the newest entry of the
 * largest group makes room for another group, so a group that floods the queue waits behind itself.
 */
export class FairQueue {
  readonly #options: FairQueueOptions
  /** Waiting entries by group, in the order of the groups' turns. */
  readonly #groups = new Map<string, Waiting[]>()
  #running = 0
  #waiting = 0

  constructor(options: FairQueueOptions) {
    this.#options = options
  }

  /** How many run or wait. */
  get pending(): number {
    return this.#running + this.#waiting
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting
  }

  /**
   * Runs `work` when it is its turn.
   * @throws QueueFullError if it was refused or displaced; and what `work` throws
   */
  async run<T>(group: string, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.concurrency) this.#running++
    else await this.#wait(group)
    try {
      return await work()
    } finally {
      const next = this.#next()
      // Hands the place over, so that no newcomer overtakes the queue.
      if (next === undefined) this.#running--
      else next.start()
    }
  }

  async #wait(group: string): Promise<void> {
    if (this.#waiting >= this.#options.limit && !this.#makeRoom(group))
      throw new QueueFullError('the queue is full')
    await new Promise<void>((start, reject) => {
      const waiting: Waiting = { start, giveUp: () => reject(new QueueFullError('displaced from the queue')) }
      const line = this.#groups.get(group)
      if (line === undefined) this.#groups.set(group, [waiting])
      else line.push(waiting)
      this.#waiting++
    })
  }

  /**
   * Displaces the newest entry of the longest line, if that is longer than the line of `group`
   * would become.
   */
  #makeRoom(group: string): boolean {
    let longest: Waiting[] = []
    for (const line of this.#groups.values()) if (line.length > longest.length) longest = line
    const own = this.#groups.get(group)?.length ?? 0
    if (longest.length <= own + 1) return false
    longest.pop()?.giveUp()
    this.#waiting--
    return true
  }

  #next(): Waiting | undefined {
    const [first] = this.#groups
    if (first === undefined) return undefined
    const [group, line] = first
    const next = line.shift()
    this.#groups.delete(group)
    // Moves it behind the other groups.
    if (line.length > 0) this.#groups.set(group, line)
    this.#waiting--
    return next
  }
}
