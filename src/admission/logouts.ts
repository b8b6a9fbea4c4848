import { LRUCache } from 'lru-cache'
import { Refusal } from '../errors.js'
import type { LogoutOrder } from '../token/logout-token.js'

/**
 * replayed: its token was used before
 * full:     there is no room for one more revocation
 * failed:   it may or may not hold
 */
export type LogoutOutcome = 'done' | 'replayed' | 'full' | 'failed'

/** Ends whatever the subject was given until then, everywhere. */
export type Disconnect = (subject: LogoutOrder['subject'], givenUntilSeconds: number) => Promise<unknown>

const maxRemembered = 10_000

/**
 * Carries out logout tokens that were verified, each once. The ids of the last ten thousand are
 * remembered. One that is forgotten, or that another node sees, does no harm: it ends what was
 * issued before the logout, and that has ended.
 */
export class Logouts {
  readonly #disconnect: Disconnect
  readonly #used = new LRUCache<string, true>({ max: maxRemembered })

  constructor(disconnect: Disconnect) {
    this.#disconnect = disconnect
  }

  /** Resolves when it holds in every thread, and over a restart. */
  async carryOut({ id, subject, issuedAtSeconds }: LogoutOrder): Promise<LogoutOutcome> {
    if (this.#used.has(id)) return 'replayed'
    this.#used.set(id, true)
    try {
      await this.#disconnect(subject, issuedAtSeconds)
      return 'done'
    } catch (error) {
      // The provider may send it again.
      this.#used.delete(id)
      if (error instanceof Refusal && error.code === 'revocations_full') return 'full'
      throw error
    }
  }
}
