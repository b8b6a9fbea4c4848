import { renewalDelayMs } from './backoff.js'
import { GateError } from './gate-error.js'
import type { Link } from './link.js'
import { later } from './platform.js'

export interface RenewalParts {
  /** A ticket for a token that lasts longer than the last one. */
  readonly takeTicket: () => Promise<string>
  readonly onRenewed: (expires: number) => void
}

/** Renews the session of a link before it ends, again and again. Answers what stops that. */
export function keepRenewed(link: Link, { takeTicket, onRenewed }: RenewalParts): () => void {
  let cancel = (): void => {}
  let isOver = false

  function schedule(expires: number): void {
    const remainingMs = expires * 1000 - Date.now()
    // Too late, or the clocks differ: the server will close the socket, and the next one has a new token.
    if (isOver || !(remainingMs >= 1000)) return
    cancel = later(renewalDelayMs(remainingMs), () => void renew(expires))
  }

  async function renew(expires: number): Promise<void> {
    let ends = expires
    try {
      const ticket = await takeTicket()
      if (isOver) return
      ends = await renewWith(ticket)
    } catch (error) {
      // What is refused for good is reported by the next attempt, when this session has ended.
      if (error instanceof GateError && error.remedy === 'nothing') return
    }
    schedule(ends)
  }

  /** @throws GateError. Whatever the socket answered, another ticket may do better in the time that is left. */
  async function renewWith(ticket: string): Promise<number> {
    try {
      const { expires } = await link.request({ type: 'renew', ticket })
      if (typeof expires !== 'number') throw new TypeError('the answer names no end of the session')
      onRenewed(expires)
      return expires
    } catch (error) {
      throw new GateError('renewal_failed', String(error), 'time')
    }
  }

  schedule(link.welcome.expires)
  return () => {
    isOver = true
    cancel()
  }
}
