const forgetMs = 60_000

interface Node {
  sent: number
  heardMs: number
}

/**
 * Counts the publications of other nodes that did not arrive here, by the gaps in their numbers.
 */
export class MessageGaps {
  readonly #nodes = new Map<string, Node>()
  #lost = 0

  /** How many publications have not arrived so far. */
  get lost(): number {
    return this.#lost
  }

  /**
   * Records publications of a node. The first of a node never count as lost.
   * @param sent how many that node has sent, including these
   * @param arrived how many these are
   */
  hear(from: string, sent: number, arrived: number, nowMs: number): void {
    const before = sent - arrived
    const known = this.#nodes.get(from)?.sent ?? before
    if (before > known) this.#lost += before - known
    this.#nodes.set(from, { sent: Math.max(sent, known), heardMs: nowMs })
  }

  /** Forgets nodes that have been silent for a minute, as they have stopped. */
  forgetSilent(nowMs: number): void {
    for (const [name, { heardMs }] of this.#nodes) if (nowMs - heardMs > forgetMs) this.#nodes.delete(name)
  }
}
