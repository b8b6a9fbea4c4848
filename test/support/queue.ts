/** Keeps items until they are taken, so that tests miss none and need not sleep. */
export class Queue<T> {
  readonly #items: T[] = []
  readonly #waiting: ((item: T) => void)[] = []

  push(item: T): void {
    const first = this.#waiting.shift()
    if (first === undefined) this.#items.push(item)
    else first(item)
  }

  next(): Promise<T> {
    const [item] = this.#items.splice(0, 1)
    return item === undefined ? new Promise(resolve => this.#waiting.push(resolve)) : Promise.resolve(item)
  }
}
