import { createHash, randomBytes } from 'node:crypto'
import type { Config } from '../config/schema.js'
import type { Rate } from '../config/value-types.js'
import { Buckets, bucketBytes } from './buckets.js'
import type { LimiterUsage } from './rate.js'

/**
 * Limits on guessing passwords, over all threads of a process, in fixed memory and without locks.
 *
 * - An address has a bucket. A failed login counts whole, a successful one a tenth.
 * - A user has a bucket for failed logins from anywhere, which slows down guesses from many
 *   addresses too (OWASP ASVS 2.2.1). A user that does not exist has one like any other.
 * - An address from which a user has logged in before has its own bucket for that user. So guesses
 *   from elsewhere do not lock the user out there.
 *
 * Memory is bounded. Keys that share a bucket fill it early, never late, and a forgotten address
 * counts like any other.
 */
export interface LoginLimitsMemory {
  /** Hashes keys, so that clients cannot choose what shares a bucket. */
  readonly secret: Uint8Array
  /** Theoretical arrival times, Unix microseconds, one 64-bit word per bucket. */
  readonly addresses: SharedArrayBuffer
  readonly users: SharedArrayBuffer
  /**
   * Addresses from which users have logged in: hashes of user and address, one 64-bit word each.
   */
  readonly familiar: SharedArrayBuffer
}

export interface LoginRates {
  /** Logins from one address; undefined = no limit. */
  readonly perAddress: Rate | undefined
  /** Failed logins of one user; undefined = no limit. */
  readonly failuresPerUser: Rate | undefined
}

/** Returns the configured rates. */
export const loginRates = ({
  loginRate,
  loginFailureRate,
}: Pick<Config, 'loginRate' | 'loginFailureRate'>): LoginRates => ({
  perAddress: loginRate,
  failuresPerUser: loginFailureRate,
})

/**
 * Rows of pairs of user and address. The hash of a pair selects its row, in which the oldest pair
 * is replaced.
 */
const familiarRows = 1 << 15
const familiarPlaces = 8

/** The share of its cost that a successful login gets back. */
const successShare = 0.9

const hourMs = 3_600_000

/** Allocates 26 MB, of which the system provides only what is used. */
export const createLoginLimitsMemory = (): LoginLimitsMemory => ({
  secret: randomBytes(32),
  addresses: new SharedArrayBuffer(bucketBytes),
  users: new SharedArrayBuffer(bucketBytes),
  familiar: new SharedArrayBuffer(familiarRows * familiarPlaces * 8),
})

export class LoginLimits {
  readonly #secret: Uint8Array
  readonly #addresses: Buckets
  readonly #users: Buckets
  readonly #familiar: FamiliarPairs

  constructor({ perAddress, failuresPerUser }: LoginRates, memory: LoginLimitsMemory) {
    this.#secret = memory.secret
    this.#addresses = new Buckets(perAddress, memory.addresses)
    this.#users = new Buckets(failuresPerUser, memory.users)
    this.#familiar = new FamiliarPairs(memory.familiar)
  }

  /** Sets the rates. If one changes, its counts start over. */
  setRates({ perAddress, failuresPerUser }: LoginRates): void {
    this.#addresses.setRate(perAddress)
    this.#users.setRate(failuresPerUser)
  }

  /**
   * Counts an attempt from an address. Returns how long it must wait, in milliseconds; 0 = go on.
   */
  takeAddress(address: string, nowMs: number): number {
    return this.#addresses.take(this.#addressHash(address), nowMs)
  }

  /**
   * Returns how long an attempt at a user from this address must wait, in milliseconds; 0 = go on.
   * It counts nothing yet: attempts that are checked at the same time would lock each other out. So
   * more may fail than the rate allows, by as many as are checked at once. These count as well, and
   * the next attempt waits longer.
   */
  waitOfUser(user: string, address: string, nowMs: number): number {
    return this.#users.wait(this.#userHash(user, address), nowMs)
  }

  /** Counts a failed attempt for its user. */
  fail(user: string, address: string, nowMs: number): void {
    this.#users.add(this.#userHash(user, address), nowMs)
  }

  /** Gives back most of what a successful attempt cost, and remembers its address. */
  succeed(user: string, address: string, nowMs: number): void {
    this.#addresses.giveBack(this.#addressHash(address), successShare)
    this.#familiar.add(this.#hash('pair', address, user), nowMs)
  }

  /** Gives back the cost of an attempt that ended without a verdict on its password. */
  abandon(address: string): void {
    this.#addresses.giveBack(this.#addressHash(address), 1)
  }

  /** How many addresses are limited. Undefined if they are not. */
  addresses(nowMs: number): LimiterUsage | undefined {
    return this.#addresses.usage(nowMs)
  }

  /** How many users are limited, and pairs of user and address. Undefined if they are not. */
  users(nowMs: number): LimiterUsage | undefined {
    return this.#users.usage(nowMs)
  }

  /** Selects the bucket of an address. */
  #addressHash(address: string): number {
    return this.#hash('address', address).readUInt32LE()
  }

  /** Selects the bucket of an attempt at a user. */
  #userHash(user: string, address: string): number {
    const pair = this.#hash('pair', address, user)
    return (this.#familiar.has(pair) ? pair : this.#hash('user', user)).readUInt32LE()
  }

  #hash(kind: string, ...keys: readonly string[]): Buffer {
    const hash = createHash('sha256').update(this.#secret).update(kind)
    for (const key of keys) hash.update(`\0${Buffer.byteLength(key)}\0`).update(key)
    return hash.digest()
  }
}

/**
 * Pairs of user and address: 48 bits of their hash, and the hour of their last login. Threads that
 * write one row at once may lose a pair, which then counts as forgotten.
 */
class FamiliarPairs {
  readonly #words: BigUint64Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new BigUint64Array(memory)
  }

  has(hash: Buffer): boolean {
    const [from, mark] = this.#placeOf(hash)
    for (let at = from; at < from + familiarPlaces; at++)
      if (Atomics.load(this.#words, at) >> 16n === mark) return true
    return false
  }

  add(hash: Buffer, nowMs: number): void {
    const [from, mark] = this.#placeOf(hash)
    let place = from
    let oldest = 0x1_0000n
    for (let at = from; at < from + familiarPlaces; at++) {
      const word = Atomics.load(this.#words, at)
      if (word >> 16n === mark) {
        place = at
        break
      }
      if ((word & 0xffffn) >= oldest) continue
      oldest = word & 0xffffn
      place = at
    }
    const hour = BigInt(Math.floor(nowMs / hourMs) % 0x1_0000)
    Atomics.store(this.#words, place, (mark << 16n) | hour)
  }

  /** Where the row of a pair begins, and its mark, which is never that of an empty place. */
  #placeOf(hash: Buffer): readonly [from: number, mark: bigint] {
    const row = hash.readUInt32LE(4) % familiarRows
    return [row * familiarPlaces, BigInt(hash.readUIntLE(8, 6)) | 1n]
  }
}
