import { routes } from '../../protocol.js'
import { layoutOf } from '../ticket-layout.js'
import { Countdown } from './countdown.js'
import {
  announce,
  byId,
  make,
  moveOn,
  onSubmit,
  setStep,
  setUsable,
  status,
  submitOf,
  type WireLine,
  wire,
} from './dom.js'
import { ask, noReply, refusalText } from './http.js'
import type { Session, SessionStore } from './session.js'
import { showTicket } from './ticket-view.js'

export interface TakenTicket {
  readonly text: string
  readonly channel: string
  /** Ends the countdown: the ticket was presented and accepted. */
  spent(): void
}

/** Step 2: trades a token for a ticket. */
export class TicketStep {
  readonly #sessions: SessionStore
  readonly #onTicket: (ticket: TakenTicket) => void
  readonly #form = byId('take', HTMLFormElement)
  readonly #channel = byId('channel', HTMLInputElement)
  readonly #result = byId('take-result', HTMLDivElement)
  readonly #view = byId('ticket', HTMLDivElement)
  readonly #button = submitOf(this.#form)
  readonly #countdown = new Countdown()

  constructor(sessions: SessionStore, onTicket: (ticket: TakenTicket) => void) {
    this.#sessions = sessions
    this.#onTicket = onTicket
    sessions.onChange(session => {
      setUsable(this.#button, session !== undefined)
      setStep('ticket', session === undefined ? 'locked' : 'open')
    })
    onSubmit(this.#form, {
      act: () => this.#take(),
      isReady: () => sessions.current !== undefined,
    })
  }

  /** Gets another ticket, as if the button had been pressed. */
  takeAnother(): void {
    this.#button.focus()
    this.#form.requestSubmit()
  }

  /** The server has a new key, so no earlier ticket is valid. */
  void(): void {
    this.#countdown.end('void', 'void: the server has restarted')
  }

  async #take(): Promise<void> {
    const session = this.#sessions.current
    if (session === undefined) return
    const channel = this.#channel.value
    const path = `${routes.ticket}?channel=${encodeURIComponent(channel)}`
    const sent = ['→', `POST ${path} with Authorization: Bearer ${session.token.slice(0, 12)}…`] as const
    const reply = await ask('POST', path, { token: session.token }).catch(noReply)
    const { ticket } = reply.body
    if (reply.status === 200 && typeof ticket === 'string') this.#show(ticket, channel, sent)
    else this.#refuse(session, refusalText(reply), reply.status, sent)
  }

  #show(text: string, channel: string, sent: WireLine): void {
    const layout = layoutOf(text)
    this.#result.replaceChildren(
      wire([sent, ['←', status('200')], ['ticket', make('span', { class: 'unbroken' }, text)]]),
    )
    showTicket(layout)
    this.#countdown.start(layout.ttlSeconds)
    this.#view.hidden = false
    setStep('ticket', 'done')
    announce(`You have a ticket, for ${layout.ttlSeconds} seconds.`)
    this.#onTicket({ text, channel, spent: () => this.#countdown.spend() })
    moveOn(this.#form, byId('connect', HTMLButtonElement))
  }

  #refuse(session: Session, words: string, code: number, sent: WireLine): void {
    this.#view.hidden = true
    this.#result.replaceChildren(wire([sent, ['←', status(words)]], true))
    announce(words)
    if (code === 401) this.#sessions.end(session.token, words)
  }
}
