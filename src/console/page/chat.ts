import { type Connection, connect, GateError } from '../../client/index.js'
import { byId, make, setStep, submitOf } from './dom.js'
import type { SessionStore } from './session.js'

interface Said {
  readonly text: string
}

const isSaid = (data: unknown): data is Said =>
  typeof data === 'object' && data !== null && 'text' in data && typeof data.text === 'string'

const maxLines = 200

/** Step 5: the client library keeps a connection. */
export function setUpChat(sessions: SessionStore): void {
  const join = byId('join', HTMLButtonElement)
  const channel = byId('channel', HTMLInputElement)
  const chip = byId('chat-state', HTMLParagraphElement)
  const log = byId('log', HTMLDivElement)
  const form = byId('say', HTMLFormElement)
  const text = byId('text', HTMLInputElement)
  const send = submitOf(form)
  const label = make('span', { id: 'join-channel' }, channel.value)
  let gate: Connection | undefined
  /** The token of the last time: where that will not do, a person has to log in. */
  let given: string | undefined

  function write(...children: readonly (Node | string)[]): HTMLParagraphElement {
    const line = make('p', {}, ...children)
    log.append(line)
    while (log.childElementCount > maxLines) log.firstElementChild?.remove()
    log.scrollTop = log.scrollHeight
    return line
  }

  const note = (words: string): void => void write(make('span', { class: 'event' }, words))

  function show(state: 'open' | 'waiting' | 'closed' | 'refused', words: string): void {
    chip.dataset.state = state
    chip.textContent = words
    text.disabled = send.disabled = state !== 'open'
  }

  function rest(): void {
    join.disabled = sessions.current === undefined
    join.replaceChildren('Join ', label)
  }

  function start(): void {
    const name = channel.value
    const opened = connect({
      url: location.origin,
      channel: name,
      channelOnly: true,
      getToken({ fresh }) {
        const token = sessions.current?.token
        if (token === undefined || (fresh && token === given))
          throw new GateError('signed_out', 'This token will not do any more. Log in again.')
        given = token
        return token
      },
    })
    gate = opened
    join.replaceChildren('Leave')
    show('waiting', 'connecting')
    opened.on('open', ({ user }) => {
      show('open', `open as ${user}`)
      note(`you are in ${name === '' ? 'the channel without a name' : name}`)
      setStep('chat', 'done')
    })
    opened.on('message', ({ data, user }) => {
      write(make('b', {}, user ?? 'operator'), ' ', isSaid(data) ? data.text : JSON.stringify(data))
    })
    opened.on('renewed', ({ expires }) =>
      note(`session renewed until ${new Date(expires * 1000).toLocaleTimeString()}`),
    )
    opened.on('retry', ({ error, delayMs }) => {
      show('waiting', 'reconnecting')
      note(`${error.code}: again in ${(delayMs / 1000).toFixed(1)} s, with a fresh ticket`)
    })
    opened.on('close', ({ code, message }) => {
      gate = undefined
      show(code === 'closed' ? 'closed' : 'refused', code === 'closed' ? 'not connected' : code)
      note(code === 'closed' ? 'you left' : `closed for good: ${code}. ${message}`)
      rest()
    })
  }

  join.addEventListener('click', () => {
    if (gate === undefined) start()
    else void gate.close()
  })

  form.addEventListener('submit', async event => {
    event.preventDefault()
    const words = text.value.trim()
    if (gate === undefined || words === '') return
    text.value = ''
    const line = write(make('b', {}, 'you'), ' ', words)
    try {
      await gate.publish({ text: words } satisfies Said)
    } catch (error) {
      line.append(make('span', { class: 'event' }, ` (not sent: ${(error as GateError).code})`))
    }
  })

  channel.addEventListener('input', () => {
    label.textContent = channel.value
  })
  sessions.onChange(() => {
    if (gate === undefined) rest()
    setStep('chat', 'open')
  })
}
