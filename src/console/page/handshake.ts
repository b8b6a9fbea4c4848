import { routes, ticketParameter } from '../../protocol.js'
import {
  announce,
  byId,
  make,
  moveOn,
  onPress,
  setStep,
  setUsable,
  status,
  type WireLine,
  wire,
} from './dom.js'
import { FrameLog } from './frames.js'
import { refusalOf } from './refusal.js'
import type { TakenTicket } from './ticket.js'

type Outcome =
  | { readonly isOpen: true; readonly socket: WebSocket }
  | { readonly isOpen: false; readonly code: number }

/** Presents a ticket by a bare WebSocket, as any page could. Resolves after the first message. */
function present(path: string, frames: FrameLog): Promise<Outcome> {
  const socket = new frames.WebSocket(location.origin.replace(/^http/, 'ws') + path)
  return new Promise(resolve => {
    socket.onmessage = () => resolve({ isOpen: true, socket })
    socket.onclose = ({ code }) => resolve({ isOpen: false, code })
  })
}

const pathOf = ({ text, channel }: TakenTicket): string =>
  `${routes.channel}${channel}?${ticketParameter}=${text}`

const sentFor = ({ text, channel }: TakenTicket): WireLine => [
  '→',
  `new WebSocket('${routes.channel}${channel}?${ticketParameter}=${text.slice(0, 12)}…')`,
]

/** Steps 3 and 4: the ticket opens a socket, once; the same ticket again is refused. */
export class HandshakeSteps {
  /** Gets the next ticket. */
  onAnother = (): void => {}
  readonly #connect = byId('connect', HTMLButtonElement)
  readonly #connected = byId('connect-result', HTMLDivElement)
  readonly #replay = byId('replay', HTMLButtonElement)
  readonly #replayed = byId('replay-result', HTMLDivElement)
  #ticket: TakenTicket | undefined
  #socket: WebSocket | undefined
  /** Whether the ticket is not spent. */
  #isLive = false

  constructor() {
    onPress(this.#connect, { act: () => this.#open(), isReady: () => this.#isLive })
    onPress(this.#replay, { act: () => this.#presentAgain() })
  }

  /** Starts over with a fresh ticket. */
  start(ticket: TakenTicket): void {
    this.#socket?.close()
    this.#ticket = ticket
    this.#isLive = true
    setUsable(this.#connect, true)
    setUsable(this.#replay, false)
    this.#connected.replaceChildren()
    this.#replayed.replaceChildren()
    setStep('connect', 'open')
    setStep('replay', 'locked')
  }

  async #open(): Promise<void> {
    const ticket = this.#ticket
    if (ticket === undefined) return
    const frames = new FrameLog(true)
    const outcome = await present(pathOf(ticket), frames)
    if (!outcome.isOpen) {
      this.#isLive = await this.#refuse(this.#connected, ticket, outcome.code)
      return this.#offerAnother()
    }
    this.#isLive = false
    this.#socket = outcome.socket
    ticket.spent()
    this.#connected.replaceChildren(
      wire([sentFor(ticket), ['←', status('101 Switching Protocols')]]),
      frames.element,
    )
    announce('101 Switching Protocols: the WebSocket is open.')
    setStep('connect', 'done')
    setStep('replay', 'open')
    setUsable(this.#replay, true)
    moveOn(this.#connect, this.#replay)
  }

  #offerAnother(): void {
    const another = make('button', { type: 'button', class: 'button' }, 'Take a new ticket')
    another.addEventListener('click', () => this.onAnother())
    this.#connected.append(another)
    if (!this.#isLive) moveOn(this.#connect, another)
  }

  async #presentAgain(): Promise<void> {
    const ticket = this.#ticket
    if (ticket === undefined) return
    const outcome = await present(pathOf(ticket), new FrameLog(false))
    if (outcome.isOpen) {
      outcome.socket.close()
      this.#replayed.replaceChildren(wire([sentFor(ticket), ['←', status('101: accepted')]], true))
      return announce('The ticket was accepted again.')
    }
    await this.#refuse(this.#replayed, ticket, outcome.code)
    setStep('replay', 'done')
    moveOn(this.#replay, byId('join', HTMLButtonElement))
  }

  /** Shows why. Returns whether the ticket is still valid. */
  async #refuse(result: HTMLDivElement, ticket: TakenTicket, closeCode: number): Promise<boolean> {
    const { lines, reason, isLive } = await refusalOf(ticket.text, closeCode)
    result.replaceChildren(wire([sentFor(ticket), ...lines], true))
    announce(`Refused before the handshake. ${reason}`)
    return isLive
  }
}
