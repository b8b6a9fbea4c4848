import { routes } from '../../protocol.js'
import { ask, refusalText } from './http.js'
import { claimsOf } from './token-view.js'

/**
 * Who is logged in. In memory only: a new tab asks the others for it, and it is gone when the last
 * tab closes.
 */
export interface Session {
  readonly user: string
  readonly token: string
}

/** What tabs say to each other. */
type Word =
  | { readonly type: 'ask' }
  | { readonly type: 'session'; readonly session: Session }
  | { readonly type: 'ended'; readonly token: string; readonly reason: string }

/** Called with a new session, or with undefined when one has ended, and why. */
type Listener = (session: Session | undefined, reason: string) => void

const longestTimerMs = 2 ** 31 - 1
const recheckMs = 30_000

/** The session, shared by the tabs of this origin. */
export class SessionStore {
  readonly #tabs = new BroadcastChannel('ticketgate-console')
  readonly #listeners: Listener[] = []
  #current: Session | undefined
  /** The token refused last. Another tab may not know yet, and offer it again. */
  #refused = ''
  #expiry = 0

  constructor() {
    this.#tabs.onmessage = ({ data }: MessageEvent<Word>) => this.#hear(data)
    this.#say({ type: 'ask' })
  }

  get current(): Session | undefined {
    return this.#current
  }

  set(session: Session): void {
    this.#take(session)
    this.#say({ type: 'session', session })
  }

  onChange(listener: Listener): void {
    this.#listeners.push(listener)
  }

  /**
   * Asks the server whether the token is still valid: it may have expired, or the server may have
   * restarted. Returns why not.
   */
  async check(): Promise<string | undefined> {
    const session = this.#current
    if (session === undefined) return undefined
    const reply = await ask('POST', routes.ticket, { token: session.token }).catch(() => undefined)
    if (reply?.status !== 401) return undefined
    const reason = refusalText(reply)
    this.end(session.token, reason)
    return reason
  }

  /** Ends the session of this token, in all tabs. @param reason shown to the user */
  end(token: string, reason: string): void {
    if (this.#current?.token !== token) return
    this.#finish(token, reason)
    this.#say({ type: 'ended', token, reason })
    this.#say({ type: 'ask' })
  }

  #hear(word: Word): void {
    if (word.type === 'ask' && this.#current !== undefined)
      this.#say({ type: 'session', session: this.#current })
    if (word.type === 'ended' && word.token === this.#current?.token) this.#finish(word.token, word.reason)
    if (word.type === 'session' && this.#current === undefined && word.session.token !== this.#refused) {
      this.#take(word.session)
      // The other tab may have slept through a restart.
      void this.check()
    }
  }

  #take(session: Session): void {
    this.#current = session
    this.#watch((claimsOf(session.token)?.exp ?? 0) * 1000 - Date.now())
    for (const listener of this.#listeners) listener(session, '')
  }

  #finish(token: string, reason: string): void {
    clearTimeout(this.#expiry)
    this.#current = undefined
    this.#refused = token
    for (const listener of this.#listeners) listener(undefined, reason)
  }

  /** Checks again when the token should have expired by this page's clock. */
  #watch(remainingMs: number): void {
    clearTimeout(this.#expiry)
    const delayMs = Math.min(Math.max(remainingMs, 0), longestTimerMs)
    this.#expiry = window.setTimeout(async () => {
      await this.check()
      if (this.#current !== undefined) this.#watch(recheckMs)
    }, delayMs)
  }

  #say(word: Word): void {
    this.#tabs.postMessage(word)
  }
}
