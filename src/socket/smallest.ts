/** Keeps the items with the smallest keys of all that are added. */
export class Smallest<Item> {
  readonly #count: number
  #kept: (readonly [key: number, item: Item])[] = []
  /** Keys from here on are no longer among them. */
  #limit = Number.POSITIVE_INFINITY

  constructor(count: number) {
    this.#count = count
  }

  add(key: number, item: Item): void {
    if (key >= this.#limit) return
    this.#kept.push([key, item])
    // Sorted rarely: once for every `count` additions.
    if (this.#kept.length >= 2 * this.#count + 64) this.#cut()
  }

  /** The kept items, by key. */
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
