import { routes, ticketParameter } from '../../protocol.js'
import { byId, make, setStep, status, wire } from './dom.js'
import { ask } from './http.js'
import type { TakenTicket } from './ticket.js'

type Outcome =
  | { readonly isOpen: true; readonly socket: WebSocket; readonly welcome: string }
  | { readonly isOpen: false; readonly code: number }

/** Presents a ticket by a bare WebSocket, as any page could. */
function present(path: string): Promise<Outcome> {
  const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + path)
  return new Promise(resolve => {
    socket.onmessage = ({ data }) => resolve({ isOpen: true, socket, welcome: String(data) })
    socket.onclose = ({ code }) => resolve({ isOpen: false, code })
  })
}

const pathOf = ({ text, channel }: TakenTicket): string =>
  `${routes.channel}${channel}?${ticketParameter}=${text}`

const shortPathOf = ({ text, channel }: TakenTicket): string =>
  `${routes.channel}${channel}?${ticketParameter}=${text.slice(0, 12)}…`

/** Steps 3 and 4: the ticket opens a socket, once; the same ticket again is refused. */
export function setUpHandshake(): { onTicket(ticket: TakenTicket): void } {
  const connect = byId('connect', HTMLButtonElement)
  const connected = byId('connect-result', HTMLDivElement)
  const replay = byId('replay', HTMLButtonElement)
  const replayed = byId('replay-result', HTMLDivElement)
  let ticket: TakenTicket | undefined
  let socket: WebSocket | undefined

  connect.addEventListener('click', async () => {
    if (ticket === undefined) return
    connect.disabled = true
    const outcome = await present(pathOf(ticket))
    const sent = ['→', `new WebSocket('${shortPathOf(ticket)}')`] as const
    replay.disabled = false
    setStep('replay', 'open')
    if (!outcome.isOpen) {
      connected.replaceChildren(wire([sent, ...(await refusalLines(ticket, outcome.code))], true))
      return
    }
    socket = outcome.socket
    ticket.spent()
    connected.replaceChildren(
      wire([sent, ['←', status('101 Switching Protocols')], ['heard', outcome.welcome]]),
    )
    setStep('connect', 'done')
  })

  replay.addEventListener('click', async () => {
    if (ticket === undefined) return
    replay.disabled = true
    const outcome = await present(pathOf(ticket))
    const sent = ['→', `new WebSocket('${shortPathOf(ticket)}')`] as const
    if (outcome.isOpen) {
      outcome.socket.close()
      replayed.replaceChildren(wire([sent, ['←', status('101: it was let in')]], true))
    } else {
      replayed.replaceChildren(wire([sent, ...(await refusalLines(ticket, outcome.code))], true))
      setStep('replay', 'done')
    }
    replay.disabled = false
  })

  return {
    onTicket(next) {
      socket?.close()
      ticket = next
      connect.disabled = false
      replay.disabled = true
      connected.replaceChildren()
      replayed.replaceChildren()
      setStep('connect', 'open')
      setStep('replay', 'locked')
    },
  }
}

const reasons: Readonly<Record<string, string>> = {
  used: 'ticket_used: it works once',
  expired: 'ticket_expired: it lives for seconds',
  invalid: 'ticket_invalid: this server did not issue it, or not since its last start',
}

/** A page sees a close code and nothing else, so it asks for the reason. */
async function refusalLines(
  { text }: TakenTicket,
  closeCode: number,
): Promise<(readonly [string, string | Node])[]> {
  const lines: (readonly [string, string | Node])[] = [
    ['←', status('refused before the handshake: no WebSocket')],
    ['seen', `close code ${closeCode}, which is all that a page is told`],
  ]
  const reply = await ask('POST', routes.ticketStatus, { json: { ticket: text } }).catch(() => undefined)
  const state = reply?.status === 200 ? String(reply.body.state) : undefined
  if (state === undefined) return lines
  const { refused } = reply?.body ?? {}
  const reason = typeof refused === 'string' ? refused : reasons[state]
  return [
    ...lines,
    ['asked', `POST ${routes.ticketStatus}: ${state}`],
    [
      'reason',
      reason === undefined
        ? 'not the ticket, which is still good: the server is full or shutting down, or does not allow this page'
        : make('strong', {}, reason),
    ],
  ]
}
