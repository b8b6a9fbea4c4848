import { subprotocol } from '../../protocol.js'
import { make } from './dom.js'

const maxLines = 100

/** A log of the frames of sockets: what the page and the server really send. */
export class FrameLog {
  readonly element: HTMLDetailsElement
  readonly #lines = make('ol', { tabindex: '0', 'aria-label': 'Frames' })

  constructor(isOpen: boolean) {
    this.element = make(
      'details',
      { class: 'frames', ...(isOpen ? { open: '' } : {}) },
      make('summary', {}, 'Frames on the wire'),
      this.#lines,
    )
  }

  /** A WebSocket whose frames are listed here. */
  get WebSocket(): typeof WebSocket {
    const log = this
    return class extends WebSocket {
      constructor(url: string | URL, protocols: string | string[] = []) {
        super(url, protocols)
        log.#follow(this, new URL(url), [protocols].flat())
      }

      override send(data: string): void {
        log.#add('→', `text, ${bytesIn(data)} bytes`, data)
        super.send(data)
      }
    }
  }

  #follow(socket: WebSocket, { pathname, search }: URL, protocols: readonly string[]): void {
    const offered = protocols.length === 0 ? '' : `, Sec-WebSocket-Protocol: ${protocols.join(', ')}`
    this.#add('→', 'handshake', withoutTickets(`GET ${pathname}${search}${offered}`))
    socket.addEventListener('open', () => {
      const { protocol, extensions } = socket
      this.#add('←', 'handshake', ['101', protocol, extensions].filter(part => part !== '').join(', '))
    })
    socket.addEventListener('message', ({ data }) => {
      this.#add('←', `text, ${bytesIn(String(data))} bytes`, String(data))
    })
    socket.addEventListener('close', ({ code, reason, wasClean }) => {
      if (wasClean) this.#add('←', 'close', `${code} ${reason}`)
      else this.#add('←', 'end', `no close frame, which browsers report as ${code}`)
    })
  }

  #add(direction: '→' | '←', kind: string, text: string): void {
    this.#lines.append(make('li', {}, make('b', {}, `${direction} ${kind}`), ' ', make('code', {}, text)))
    while (this.#lines.childElementCount > maxLines) this.#lines.firstElementChild?.remove()
    this.#lines.scrollTop = this.#lines.scrollHeight
  }
}

const bytesIn = (text: string): number => new TextEncoder().encode(text).length

const tickets = new RegExp(
  `(ticket=|${subprotocol.ticketPrefix.replace('.', '\\.')})([\\w.-]{12})[\\w.-]*`,
  'g',
)

/** Tickets do not belong in a log, not even spent ones. */
const withoutTickets = (text: string): string => text.replace(tickets, '$1$2…')
