import { clientRoutes, type RenewReply } from '../protocol.js'
import { renewalDelayMs } from './backoff.js'
import { GateError } from './gate-error.js'
import { scheduleIdly } from './platform.js'
import type { TicketApi } from './tickets.js'

// If tokens name no session, every socket has its own, and other gates do not report whether it is
// still open. The latest ones are.
const maxSessions = 8

interface Tracked {
  readonly expires: number
  readonly cancel: () => void
}

/** Renews the sessions of sockets in tunnels before they end, while there are such sockets. */
export class SessionRenewals {
  readonly #api: Pick<TicketApi, 'send'>
  readonly #askToken: (fresh: boolean) => Promise<string>
  readonly #tracked = new Map<string, Tracked>()
  #isClosed = false

  constructor(api: Pick<TicketApi, 'send'>, askToken: (fresh: boolean) => Promise<string>) {
    this.#api = api
    this.#askToken = askToken
  }

  /** Records that a socket of a session may open, which ends then, Unix seconds. */
  track(session: string, expires: number): void {
    const before = this.#tracked.get(session)
    // Sockets that were opened earlier end earlier.
    if (before !== undefined && before.expires <= expires) return
    this.#drop(session)
    const remainingMs = expires * 1000 - Date.now()
    if (this.#isClosed || !(remainingMs >= 1000)) return
    const cancel = scheduleIdly(renewalDelayMs(remainingMs), () => void this.#renew(session, expires))
    this.#tracked.set(session, { expires, cancel })
    const [oldest] = this.#tracked.keys()
    if (oldest !== undefined && this.#tracked.size > maxSessions) this.#drop(oldest)
  }

  close(): void {
    this.#isClosed = true
    for (const session of [...this.#tracked.keys()]) this.#drop(session)
  }

  #drop(session: string): void {
    this.#tracked.get(session)?.cancel()
    this.#tracked.delete(session)
  }

  async #renew(session: string, before: number): Promise<void> {
    let next = [session, before] as const
    try {
      const token = await this.#askToken(true)
      if (this.#isClosed) return
      const body = await this.#api.send(clientRoutes.renew, token, { session })
      const { expires, session: now, extended, forwarded } = body as Partial<RenewReply>
      if (typeof expires === 'number') next = [now ?? session, expires]
      // All of them are closed.
      if (extended === 0 && forwarded !== true) return this.#drop(session)
    } catch (error) {
      // The next attempt to connect reports it.
      if (error instanceof GateError && error.remedy === 'nothing') return this.#drop(session)
    }
    this.#drop(session)
    this.track(...next)
  }
}
