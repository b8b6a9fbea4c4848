import { routes } from '../../protocol.js'
import { hexOf, layoutOf, type TicketLayout } from '../ticket-layout.js'
import { byId, make, setStep, status, submitOf, wire } from './dom.js'
import { ask, noReply, refusalText } from './http.js'
import type { SessionStore } from './session.js'

export interface TakenTicket {
  readonly text: string
  readonly channel: string
  /** Ends the countdown: the ticket was presented and let in. */
  spent(): void
}

/** Step 2: a token for a ticket, and the ticket byte by byte. */
export function setUpTicket(sessions: SessionStore, onTicket: (ticket: TakenTicket) => void): void {
  const form = byId('take', HTMLFormElement)
  const channel = byId('channel', HTMLInputElement)
  const result = byId('take-result', HTMLDivElement)
  const view = byId('ticket', HTMLDivElement)
  const button = submitOf(form)
  let stopCountdown = (): void => {}

  sessions.onChange(session => {
    button.disabled = session === undefined
    setStep('ticket', session === undefined ? 'locked' : 'open')
  })

  form.addEventListener('submit', async event => {
    event.preventDefault()
    const session = sessions.current
    if (session === undefined) return
    button.disabled = true
    const name = channel.value
    const path = `${routes.ticket}?channel=${encodeURIComponent(name)}`
    const sent = ['→', `POST ${path} with Authorization: Bearer ${session.token.slice(0, 12)}…`] as const
    try {
      const reply = await ask('POST', path, { token: session.token }).catch(noReply)
      const { ticket } = reply.body
      if (reply.status === 200 && typeof ticket === 'string') {
        stopCountdown()
        const layout = layoutOf(ticket)
        result.replaceChildren(
          wire([sent, ['←', status('200')], ['ticket', make('span', { class: 'unbroken' }, ticket)]]),
        )
        show(layout)
        const countdown = startCountdown(layout.ttlSeconds)
        stopCountdown = countdown.stop
        view.hidden = false
        setStep('ticket', 'done')
        onTicket({ text: ticket, channel: name, spent: countdown.spent })
      } else {
        view.hidden = true
        result.replaceChildren(wire([sent, ['←', status(refusalText(reply))]], true))
        if (reply.status === 401) sessions.end(session.token, refusalText(reply))
      }
    } finally {
      button.disabled = sessions.current === undefined
    }
  })
}

/** A strip with one cell a byte, and a table with one row a field. */
function show({ node, fields, claims }: TicketLayout): void {
  byId('strip', HTMLDivElement).replaceChildren(
    ...fields.flatMap(({ name, bytes }) =>
      Array.from(bytes, () => make('i', { 'data-field': name, title: name })),
    ),
  )
  const rows = fields.map(({ name, offset, bytes, value }) =>
    make(
      'tr',
      {},
      make('td', { class: 'at' }, String(offset)),
      make('th', { scope: 'row' }, make('span', { class: 'tag', 'data-field': name }, name)),
      make('td', { class: 'hex' }, hexOf(bytes)),
      make(
        'td',
        {},
        value,
        ...(name === 'claims'
          ? claims.map(claim =>
              make('span', { class: 'claim' }, make('b', {}, `${claim.key} ${claim.meaning}: `), claim.value),
            )
          : []),
      ),
    ),
  )
  const body = byId('layout', HTMLTableElement).tBodies[0]
  body?.replaceChildren(
    ...rows,
    ...(node === undefined
      ? []
      : [make('tr', {}, make('td'), make('th', { scope: 'row' }, 'node'), make('td', {}, node), make('td'))]),
  )
}

/** Counts from the moment the ticket came, so that this machine's clock does not matter. */
function startCountdown(ttlSeconds: number): { stop: () => void; spent: () => void } {
  const text = byId('countdown', HTMLParagraphElement)
  const bar = byId('countdown-bar', HTMLDivElement)
  const frame = bar.closest<HTMLElement>('.countdown')
  const startedAt = performance.now()
  let isOver = false

  function end(state: 'spent' | 'expired', words: string): void {
    isOver = true
    text.textContent = words
    if (frame !== null) frame.dataset.state = state
  }

  function tick(): void {
    if (isOver) return
    const left = ttlSeconds - (performance.now() - startedAt) / 1000
    bar.style.transform = `scaleX(${Math.max(0, left / ttlSeconds)})`
    if (left <= 0) return end('expired', 'expired, unused')
    text.textContent = `expires in ${left.toFixed(1)} s`
    requestAnimationFrame(tick)
  }

  if (frame !== null) frame.dataset.state = 'running'
  tick()
  return {
    stop: () => {
      isOver = true
    },
    spent() {
      if (!isOver) end('spent', `spent after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
    },
  }
}
