import { type Connection, connect, GateError } from '../../client/index.js'
import { byId, make, moveOn, onPress, onSubmit, setStep, setUsable, submitOf } from './dom.js'
import type { SessionStore } from './session.js'

interface Said {
  readonly text: string
}

const isSaid = (data: unknown): data is Said =>
  typeof data === 'object' && data !== null && 'text' in data && typeof data.text === 'string'

const maxLines = 200

/** Step 5: the client library keeps a connection. */
export function setUpChat(sessions: SessionStore): void {
  const chat = new Chat(sessions)
  sessions.onChange(session => chat.follow(session !== undefined))
}

class Chat {
  readonly #sessions: SessionStore
  readonly #join = byId('join', HTMLButtonElement)
  readonly #channel = byId('channel', HTMLInputElement)
  readonly #chip = byId('chat-state', HTMLParagraphElement)
  readonly #log = byId('log', HTMLDivElement)
  readonly #text = byId('text', HTMLInputElement)
  readonly #send: HTMLButtonElement
  readonly #label: HTMLElement
  #gate: Connection | undefined
  /** The last token that was given: if that does not do, a person has to log in. */
  #given: string | undefined

  constructor(sessions: SessionStore) {
    this.#sessions = sessions
    this.#label = make('span', { id: 'join-channel' }, this.#channel.value)
    const form = byId('say', HTMLFormElement)
    this.#send = submitOf(form)
    onPress(this.#join, {
      act: () => this.#joinOrLeave(),
      isReady: () => this.#gate !== undefined || this.#sessions.current !== undefined,
    })
    onSubmit(form, {
      act: () => this.#say(this.#text.value.trim()),
      isReady: () => this.#gate?.state === 'open',
    })
    this.#channel.addEventListener('input', () => {
      this.#label.textContent = this.#channel.value
    })
  }

  /** A session has begun, or ended. One that is open goes on until the server ends it. */
  follow(hasSession: boolean): void {
    if (this.#gate !== undefined) return
    this.#rest()
    setStep('chat', hasSession ? 'open' : 'locked')
  }

  async #joinOrLeave(): Promise<void> {
    if (this.#gate === undefined) this.#listen(this.#connect())
    else await this.#gate.close()
  }

  #connect(): Connection {
    const gate = connect({
      url: location.origin,
      channel: this.#channel.value,
      channelOnly: true,
      getToken: ({ fresh }) => {
        const token = this.#sessions.current?.token
        if (token === undefined || (fresh && token === this.#given))
          throw new GateError('signed_out', 'This token is no longer accepted. Log in again.')
        this.#given = token
        return token
      },
    })
    this.#gate = gate
    this.#join.replaceChildren('Leave')
    this.#show('waiting', 'connecting')
    return gate
  }

  #listen(gate: Connection): void {
    gate.on('open', ({ user, channel }) => {
      this.#show('open', `open as ${user}`)
      this.#note(`you are in ${channel === '' ? 'the channel without a name' : channel}`)
      setStep('chat', 'done')
      moveOn(this.#join, this.#text)
    })
    gate.on('message', ({ data, user }) => {
      this.#write(make('b', {}, user ?? 'operator'), ' ', isSaid(data) ? data.text : JSON.stringify(data))
    })
    gate.on('renewed', ({ expires }) =>
      this.#note(`session renewed until ${new Date(expires * 1000).toLocaleTimeString()}`),
    )
    gate.on('retry', ({ error, delayMs }) => {
      this.#show('waiting', 'reconnecting')
      this.#note(`${error.code}: again in ${(delayMs / 1000).toFixed(1)} s, with a fresh ticket`)
    })
    gate.on('close', ({ code, message }) => {
      this.#gate = undefined
      if (code === 'closed') this.#show('closed', 'not connected')
      else this.#show('refused', code)
      this.#note(code === 'closed' ? 'you left' : `closed for good: ${code}. ${message}`)
      this.#rest()
    })
  }

  async #say(words: string): Promise<void> {
    if (this.#gate === undefined || words === '') return
    this.#text.value = ''
    const line = this.#write(make('b', {}, 'you'), ' ', words)
    try {
      await this.#gate.publish({ text: words } satisfies Said)
    } catch (error) {
      line.append(make('span', { class: 'event' }, ` (not sent: ${(error as GateError).code})`))
    }
  }

  #write(...children: readonly (Node | string)[]): HTMLParagraphElement {
    const line = make('p', {}, ...children)
    this.#log.append(line)
    while (this.#log.childElementCount > maxLines) this.#log.firstElementChild?.remove()
    this.#log.scrollTop = this.#log.scrollHeight
    return line
  }

  #note(words: string): void {
    this.#write(make('span', { class: 'event' }, words))
  }

  #show(state: 'open' | 'waiting' | 'closed' | 'refused', words: string): void {
    this.#chip.dataset.state = state
    this.#chip.textContent = words
    setUsable(this.#send, state === 'open')
  }

  #rest(): void {
    setUsable(this.#join, this.#sessions.current !== undefined)
    this.#join.replaceChildren('Join ', this.#label)
  }
}
