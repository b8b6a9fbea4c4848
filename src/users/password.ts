import { randomBytes } from 'node:crypto'
import { hash as argon2Hash, verify as argon2Verify } from '@node-rs/argon2'
import { Refusal } from '../errors.js'
import { FairQueue, QueueFullError } from '../limits/fair-queue.js'
import { type Durations, observe } from '../telemetry/durations.js'
import { argon2Parameters, passwordHashFault } from './phc.js'
import { preparedPassword } from './user.js'

/** Longer passwords are refused before any hashing. */
export const maxPasswordBytes = 1024

/**
 * Hashes and verifies passwords on the libuv pool, off the event loop, a bounded number at a time.
 */
export interface PasswordHasher {
  /**
   * Returns an argon2id hash as a PHC string.
   * @throws RangeError if the password exceeds `maxPasswordBytes`
   */
  hash(password: string): Promise<string>
  /**
   * Whether the password matches `hash`. Without a readable hash (unknown user) it does the same
   * work and returns false, so the time does not reveal which users exist. Overlong passwords are
   * false at once, for any user.
   * @param group shares one turn in the queue
   */
  verify(hash: string | undefined, password: string, group?: string): Promise<boolean>
  /** How many run or wait. */
  readonly pending: number
  /** How many wait. */
  readonly waiting: number
}

export interface PasswordHasherOptions {
  /**
   * How many run at once. The libuv pool has 4 threads by default; leave some to the file system.
   */
  readonly concurrency: number
  /** How many more may wait. */
  readonly queueLimit: number
  /** Histogram of the waiting times. */
  readonly waits?: Durations
}

/**
 * Creates a hasher. Its methods reject with `Refusal('login_busy')` if `queueLimit` are waiting
 * already.
 */
export function createPasswordHasher({
  concurrency,
  queueLimit,
  waits,
}: PasswordHasherOptions): PasswordHasher {
  const queue = new FairQueue({ concurrency, limit: queueLimit })

  async function bounded<T>(work: () => Promise<T>, group = ''): Promise<T> {
    const askedMs = performance.now()
    try {
      return await queue.run(group, () => {
        if (waits !== undefined) observe(waits, performance.now() - askedMs)
        return work()
      })
    } catch (error) {
      throw error instanceof QueueFullError ? new Refusal('login_busy', { retryAfterSeconds: 1 }) : error
    }
  }

  const dummy = unmatchedHash()

  return {
    async hash(password) {
      if (isOverlong(password)) throw new RangeError(`the password exceeds ${maxPasswordBytes} bytes`)
      return bounded(() => argon2Hash(preparedPassword(password), argon2Parameters))
    },
    async verify(hash, password, group) {
      if (isOverlong(password)) return false
      const usable = hash !== undefined && passwordHashFault(hash) === undefined
      const matches = await bounded(
        () => argon2Verify(usable ? hash : dummy, preparedPassword(password)),
        group,
      )
      return usable && matches
    },
    get pending() {
      return queue.pending
    },
    get waiting() {
      return queue.waiting
    },
  }
}

const isOverlong = (password: string) => Buffer.byteLength(password) > maxPasswordBytes

/** Returns a hash of an unknown password that costs as much to verify as a new hash. */
function unmatchedHash(): string {
  const { memoryCost, timeCost, parallelism } = argon2Parameters
  const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  const [salt, output] = [base64(randomBytes(16)), base64(randomBytes(32))]
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${salt}$${output}`
}
