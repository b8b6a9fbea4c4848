import type { ConnectionCaps, ConnectionLimits } from './caps.js'
import type { SharedLimits } from './shared-limits.js'
import { SharedTally } from './shared-tally.js'

/** The connection caps of one thread. They count what all threads have open. */
export class SharedConnectionCaps implements ConnectionCaps {
  #total: number
  readonly #thread: number
  readonly #open: Int32Array
  readonly #users: SharedTally | undefined
  readonly #addresses: SharedTally | undefined

  constructor({ total, perUser, perAddress }: ConnectionLimits, shared: SharedLimits, thread: number) {
    this.#total = total
    this.#thread = thread
    this.#open = new Int32Array(shared.open)
    const place = { thread, threads: this.#open.length, secret: shared.secret }
    this.#users = perUser === 0 ? undefined : new SharedTally(perUser, shared.users, place)
    this.#addresses = perAddress === 0 ? undefined : new SharedTally(perAddress, shared.addresses, place)
  }

  setLimits({ total, perUser, perAddress }: ConnectionLimits): void {
    this.#total = total
    this.#users?.setLimit(perUser)
    this.#addresses?.setLimit(perAddress)
  }

  get open(): number {
    return Atomics.load(this.#open, this.#thread)
  }

  enter(user: string, address: string): boolean {
    if (!this.enterUnknown(address)) return false
    if (this.identify(user)) return true
    this.leaveUnknown(address)
    return false
  }

  leave(user: string, address: string): void {
    Atomics.sub(this.#open, this.#thread, 1)
    this.#users?.leave(user)
    this.leaveUnknown(address)
  }

  enterUnknown(address: string): boolean {
    return this.#addresses?.enter(address) ?? true
  }

  leaveUnknown(address: string): void {
    this.#addresses?.leave(address)
  }

  identify(user: string): boolean {
    // Counts first and compares then: of two threads that race for the last place, both may be
    // refused, but never both admitted.
    Atomics.add(this.#open, this.#thread, 1)
    if (this.#isWithinTotal() && (this.#users?.enter(user) ?? true)) return true
    Atomics.sub(this.#open, this.#thread, 1)
    return false
  }

  #isWithinTotal(): boolean {
    if (this.#total === 0) return true
    let sum = 0
    for (let thread = 0; thread < this.#open.length; thread++) sum += Atomics.load(this.#open, thread)
    return sum <= this.#total
  }
}
