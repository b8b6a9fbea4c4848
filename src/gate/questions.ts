/** Pending questions to a thread, by number. */
export class Questions<Answer> {
  readonly #open = new Map<number, (answer: Answer) => void>()
  readonly #ofEnded: Answer
  #last = 0

  /** @param ofEnded the reply for a thread that has ended */
  constructor(ofEnded: Answer) {
    this.#ofEnded = ofEnded
  }

  ask(tell: (id: number) => void): Promise<Answer> {
    const id = ++this.#last
    return new Promise(resolve => {
      this.#open.set(id, resolve)
      tell(id)
    })
  }

  settle(id: number, answer: Answer): void {
    this.#open.get(id)?.(answer)
    this.#open.delete(id)
  }

  /** The thread has ended. */
  end(): void {
    for (const id of [...this.#open.keys()]) this.settle(id, this.#ofEnded)
  }
}
