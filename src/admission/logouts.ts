import { LRUCache } from 'lru-cache'
import { Refusal } from '../errors.js'
import type { LogoutOrder } from '../token/logout-token.js'

/**
 * replayed: its token was used before
 * full:     the limit on revocations is reached
 * failed:   the revocation may or may not be in force
 */
export type LogoutOutcome = 'done' | 'replayed' | 'full' | 'failed'

/** Revokes everything that was issued to the subject until then, on all nodes. */
export type Disconnect = (subject: LogoutOrder['subject'], givenUntilSeconds: number) => Promise<unknown>

const maxRemembered = 10_000

/**
 * Carries out verified logout tokens, each once. Remembers the ids of the last ten thousand. If an
 * id is forgotten, or the token is sent to another node, no harm is done: it revokes what was
 * issued before the logout, which is revoked already.
 */
export class Logouts {
  readonly #disconnect: Disconnect
  readonly #used = new LRUCache<string, true>({ max: maxRemembered })

  constructor(disconnect: Disconnect) {
    this.#disconnect = disconnect
  }

  /** Resolves once the revocation is in force in every thread and survives a restart. */
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
