/** Of all items that it is given, keeps those with the smallest keys. */
export class Smallest<Item> {
  readonly #count: number
  #kept: (readonly [key: number, item: Item])[] = []
  /** No key from here on is among them any more. */
  #limit = Number.POSITIVE_INFINITY

  constructor(count: number) {
    this.#count = count
  }

  add(key: number, item: Item): void {
    if (key >= this.#limit) return
    this.#kept.push([key, item])
    // Sorted seldom: each time for as many as are kept.
    if (this.#kept.length >= 2 * this.#count + 64) this.#cut()
  }

  /** What was kept, by its keys. */
  sorted(): Item[] {
    this.#cut()
    return this.#kept.map(([, item]) => item)
  }

  #cut(): void {
    this.#kept.sort(([a], [b]) => a - b)
    const beyond = this.#kept[this.#count]
    if (beyond === undefined) return
    this.#limit = beyond[0]
    this.#kept.length = this.#count
  }
}
