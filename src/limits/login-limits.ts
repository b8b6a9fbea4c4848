import { createHash, randomBytes } from 'node:crypto'
import type { Config } from '../config/schema.js'
import type { Rate } from '../config/value-types.js'
import { nextArrival } from './rate.js'

/**
 * Limits on guessing passwords, over all threads of a process, in fixed memory and without locks.
 *
 * - An address has a bucket: what fails counts whole, a login that succeeds a tenth.
 * - A user has a bucket for failed logins from anywhere, so that guesses from many addresses are slowed as well (OWASP
 *   ASVS 2.2.1). A user that does not exist has one like any other.
 * - An address from which a user has logged in before has a bucket of its own for that user. So nobody who guesses from
 *   elsewhere locks the user out there.
 *
 * What is remembered is bounded, and what is forgotten or shares a bucket errs on the safe side: a bucket that two keys
 * share is full early, never late, and an address that was forgotten counts as any other.
 */
export interface LoginLimitsMemory {
  /** So that nobody can choose what shares a bucket. */
  readonly secret: Uint8Array
  /** Theoretical arrival times, Unix microseconds, one 64-bit word a bucket. */
  readonly addresses: SharedArrayBuffer
  readonly users: SharedArrayBuffer
  /** Where users have logged in: hashes of user and address, one 64-bit word each. */
  readonly familiar: SharedArrayBuffer
}

export interface LoginRates {
  /** Logins from one address; undefined = no limit. */
  readonly perAddress: Rate | undefined
  /** Failed logins of one user; undefined = no limit. */
  readonly failuresPerUser: Rate | undefined
}

/** What is configured. */
export const loginRates = ({ loginRate, loginFailureRate }: Config): LoginRates => ({
  perAddress: loginRate,
  failuresPerUser: loginFailureRate,
})

const buckets = 1 << 20

/** Places for a pair of user and address: its hash decides on a row, and in the row the oldest gives way. */
const familiarRows = 1 << 15
const familiarPlaces = 8

/** What a login that succeeds gives back of what it has taken. */
const successShare = 0.9

const hourMs = 3_600_000

/** 26 MB, of which only what is used is taken from the system. */
export const createLoginLimitsMemory = (): LoginLimitsMemory => ({
  secret: randomBytes(32),
  addresses: new SharedArrayBuffer(buckets * 8),
  users: new SharedArrayBuffer(buckets * 8),
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

  /** Counts an attempt of an address; returns how long it has to wait, in milliseconds, 0 = go on. */
  takeAddress(address: string, nowMs: number): number {
    return this.#addresses.take(this.#hash('address', address), nowMs)
  }

  /**
   * How long an attempt at a user from this address has to wait, in milliseconds, 0 = go on. Nothing is counted before it
   * has failed, or those that log in at the same time would shut one another out. So a few more may fail than the rate
   * says, as many as are being checked at once; they count, and the next has to wait for longer.
   */
  waitOfUser(user: string, address: string, nowMs: number): number {
    return this.#users.wait(this.#userHash(user, address), nowMs)
  }

  /** An attempt has failed: it counts for its user. */
  fail(user: string, address: string, nowMs: number): void {
    this.#users.add(this.#userHash(user, address), nowMs)
  }

  /** An attempt has succeeded: most of what it took is given back, and the address is remembered. */
  succeed(user: string, address: string, nowMs: number): void {
    this.#addresses.giveBack(this.#hash('address', address), successShare)
    this.#familiar.add(this.#hash('pair', address, user), nowMs)
  }

  /** An attempt came to no decision about the password: what it took is given back. */
  abandon(address: string): void {
    this.#addresses.giveBack(this.#hash('address', address), 1)
  }

  /** Of the bucket that an attempt at a user counts in. */
  #userHash(user: string, address: string): Buffer {
    const pair = this.#hash('pair', address, user)
    return this.#familiar.has(pair) ? pair : this.#hash('user', user)
  }

  #hash(kind: string, ...keys: readonly string[]): Buffer {
    const hash = createHash('sha256').update(this.#secret).update(kind)
    for (const key of keys) hash.update(`\0${Buffer.byteLength(key)}\0`).update(key)
    return hash.digest()
  }
}

/** Buckets by the hash of a key; see {@link nextArrival}. */
class Buckets {
  readonly #rate: Rate | undefined
  readonly #arrivals: BigInt64Array

  constructor(rate: Rate | undefined, memory: SharedArrayBuffer) {
    this.#rate = rate
    this.#arrivals = new BigInt64Array(memory)
  }

  /** Counts an event, unless it has to wait; returns how long. */
  take(hash: Buffer, nowMs: number): number {
    const rate = this.#rate
    if (rate === undefined) return 0
    return this.#move(hash, arrivalMs => nextArrival(arrivalMs, nowMs, rate))
  }

  /** How long an event would have to wait. */
  wait(hash: Buffer, nowMs: number): number {
    if (this.#rate === undefined) return 0
    const found = Atomics.load(this.#arrivals, hash.readUInt32LE() % buckets)
    return Math.max(0, -nextArrival(Number(found) / 1000, nowMs, this.#rate))
  }

  /** Counts an event that could not be made to wait. */
  add(hash: Buffer, nowMs: number): void {
    const rate = this.#rate
    if (rate === undefined) return
    this.#move(hash, arrivalMs => nextArrival(arrivalMs, nowMs, rate, Number.POSITIVE_INFINITY))
  }

  /** Replaces an arrival, unless `next` returns a wait, as a negative number; returns the wait. */
  #move(hash: Buffer, next: (arrivalMs: number) => number): number {
    const bucket = hash.readUInt32LE() % buckets
    for (;;) {
      const found = Atomics.load(this.#arrivals, bucket)
      const changed = next(Number(found) / 1000)
      if (changed < 0) return -changed
      // Another thread may have replaced it meanwhile: then it is looked at anew.
      const word = BigInt(Math.ceil(changed * 1000))
      if (Atomics.compareExchange(this.#arrivals, bucket, found, word) === found) return 0
    }
  }

  /** Gives a share of one attempt back. */
  giveBack(hash: Buffer, share: number): void {
    if (this.#rate === undefined) return
    const { count, seconds } = this.#rate
    const us = Math.floor((share * seconds * 1e6) / count)
    Atomics.sub(this.#arrivals, hash.readUInt32LE() % buckets, BigInt(us))
  }
}

/**
 * Pairs of user and address, as 48 bits of their hash and the hour in which they came last. Threads that write one row at
 * once may lose a pair, which counts as forgotten.
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
