import type { Events, State } from './connection.js'
import type { TakeTicket } from './credentials.js'
import type { Emitter } from './events.js'
import { GateError } from './gate-error.js'
import type { Link } from './link.js'
import type { Fields } from './messages.js'
import { platform, schedule } from './platform.js'
import { Renewal } from './renewal.js'
import type { RetryPolicy } from './retry.js'

const goodbyeMs = 3000

export interface ReconnectorOptions<Data> {
  readonly takeTicket: TakeTicket
  /** Makes one attempt with a ticket. @throws GateError */
  readonly open: (ticket: string) => Promise<Link>
  readonly retry: RetryPolicy
  readonly emitter: Emitter<Events<Data>>
  /** Called with every link that opens, before the event `open`. */
  readonly onLink: (link: Link) => void
  /** Called when the server has ended a subscription. */
  readonly onUnsubscribed: (channel: string) => void
  /** Called once, before the event `close`. */
  readonly onClosed: (error: GateError) => void
}

/** How one attempt ended. */
interface Outcome {
  readonly error: GateError
  /** How long the link was open; undefined if it never was. */
  readonly lastedMs?: number
}

/** Keeps a link open: opens a new one when the last has ended, until it is closed or gives up. */
export class Reconnector<Data> {
  state: State = 'connecting'
  link: Link | undefined
  /** Why it is closed for good. */
  closed: GateError | undefined
  readonly #options: ReconnectorOptions<Data>
  readonly #lived: Promise<void>
  #isOffline = false
  #endPause = (): void => {}

  constructor(options: ReconnectorOptions<Data>) {
    this.#options = options
    platform.addEventListener?.('offline', this.#onOffline)
    platform.addEventListener?.('online', this.#onOnline)
    // In a later turn, so that listeners added right away miss nothing.
    this.#lived = Promise.resolve().then(() => this.#live())
  }

  /**
   * Resolves with the open link, now or once there is one. @throws GateError if there will be none
   */
  async opened(): Promise<Link> {
    for (;;) {
      if (this.closed !== undefined) throw this.closed
      if (this.link !== undefined && this.state === 'open') return this.link
      await new Promise<void>(resolve => {
        const off = this.#options.emitter.on('state', () => {
          off()
          resolve()
        })
      })
    }
  }

  /**
   * Closes for good. Resolves when the socket is closed, or after some seconds: `getToken` may
   * never return.
   */
  close(): Promise<void> {
    if (this.closed === undefined) this.#finish(new GateError('closed', 'close() was called.'))
    this.link?.close()
    return new Promise((resolve, reject) => {
      const cancel = schedule(goodbyeMs, resolve)
      this.#lived.finally(cancel).then(resolve, reject)
    })
  }

  async #live(): Promise<void> {
    let fresh = false
    while (this.closed === undefined) {
      this.#enter('connecting')
      const { error, lastedMs } = await this.#attempt(fresh)
      if (this.closed !== undefined) return
      const next = this.#options.retry.next(error, lastedMs, this.#isOffline)
      if (next === undefined) return this.#finish(error)
      const { failures, delayMs } = next
      fresh = next.fresh
      this.#enter('waiting')
      this.#options.emitter.emit('retry', { error, failures, delayMs })
      await this.#pause(delayMs, error.retryAfterMs === undefined)
    }
  }

  async #attempt(fresh: boolean): Promise<Outcome> {
    const { takeTicket, open, emitter } = this.#options
    let link: Link
    try {
      const ticket = await takeTicket(fresh)
      if (this.closed !== undefined) return { error: this.closed }
      link = await open(ticket)
    } catch (error) {
      return { error: error as GateError }
    }
    const openedAt = Date.now()
    this.link = link
    if (this.closed === undefined) this.#greet(link)
    else link.close()
    const renewal = new Renewal(link, takeTicket, expires => emitter.emit('renewed', { expires }))
    link.onNotice = message => this.#notice(message, renewal)
    const error = await link.ended
    renewal.stop()
    this.link = undefined
    return { error, lastedMs: Date.now() - openedAt }
  }

  #notice({ type, channel, withinSeconds }: Fields, renewal: Renewal): void {
    if (type === 'renew_required') renewal.require((withinSeconds as number) * 1000)
    if (type === 'unsubscribed') this.#options.onUnsubscribed(channel as string)
  }

  #greet(link: Link): void {
    this.#options.onLink(link)
    this.#enter('open')
    this.#options.emitter.emit('open', link.welcome)
  }

  #pause(delayMs: number, mayHurry: boolean): Promise<void> {
    return new Promise(resolve => {
      if (this.closed !== undefined) return resolve()
      const cancel = schedule(delayMs, resolve)
      this.#endPause = () => {
        if (!mayHurry && this.closed === undefined) return
        cancel()
        resolve()
      }
    })
  }

  #enter(state: State): void {
    if (this.state === state) return
    this.state = state
    this.#options.emitter.emit('state', state)
  }

  #finish(error: GateError): void {
    this.closed = error
    platform.removeEventListener?.('offline', this.#onOffline)
    platform.removeEventListener?.('online', this.#onOnline)
    this.#endPause()
    this.#options.onClosed(error)
    this.#enter('closed')
    this.#options.emitter.emit('close', error)
  }

  readonly #onOffline = (): void => {
    this.#isOffline = true
  }

  /**
   * The network is back, so there is no reason to wait. An open socket may be dead without notice,
   * so it is checked.
   */
  readonly #onOnline = (): void => {
    this.#isOffline = false
    this.link?.request({ type: 'ping' }).catch(() => {})
    this.#endPause()
  }
}
