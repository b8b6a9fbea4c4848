import { type Connection, connect, GateError } from '../../client/index.js'
import { byId, make, moveOn, onPress, onSubmit, setStep, setUsable, submitOf } from './dom.js'
import { FrameLog } from './frames.js'
import type { SessionStore } from './session.js'

interface ChatMessage {
  readonly text: string
}

const isChatMessage = (data: unknown): data is ChatMessage =>
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
  readonly #to = byId('to', HTMLSelectElement)
  readonly #second = byId('second-channel', HTMLInputElement)
  readonly #send = submitOf(byId('say', HTMLFormElement))
  readonly #subscribe = submitOf(byId('also', HTMLFormElement))
  readonly #label: HTMLElement
  readonly #frames = new FrameLog(false)
  #gate: Connection | undefined
  /** The second channel, if it is subscribed to. */
  #alsoHeard: string | undefined
  /** The token used last. If the server refuses it, the user has to log in. */
  #given: string | undefined

  constructor(sessions: SessionStore) {
    this.#sessions = sessions
    this.#label = make('span', { id: 'join-channel' }, this.#channel.value)
    byId('chat-frames', HTMLDivElement).append(this.#frames.element)
    onPress(this.#join, {
      act: () => this.#joinOrLeave(),
      isReady: () => this.#gate !== undefined || this.#sessions.current !== undefined,
    })
    onSubmit(byId('say', HTMLFormElement), {
      act: () => this.#say(this.#text.value.trim()),
      isReady: () => this.#isOpen,
    })
    onSubmit(byId('also', HTMLFormElement), {
      act: () => this.#hearOther(this.#second.value),
      isReady: () => this.#isOpen,
    })
    this.#channel.addEventListener('input', () => {
      this.#label.textContent = this.#channel.value
    })
  }

  /** Called when a session begins or ends. An open socket stays until the server closes it. */
  follow(hasSession: boolean): void {
    if (this.#gate !== undefined) return
    this.#rest()
    setStep('chat', hasSession ? 'open' : 'locked')
  }

  get #isOpen(): boolean {
    return this.#gate?.state === 'open'
  }

  async #joinOrLeave(): Promise<void> {
    if (this.#gate === undefined) this.#listen(this.#connect())
    else await this.#gate.close()
  }

  #connect(): Connection {
    const gate = connect({
      url: location.origin,
      channel: this.#channel.value,
      WebSocket: this.#frames.WebSocket,
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
    this.#offer([this.#channel.value])
    this.#show('waiting', 'connecting')
    return gate
  }

  #listen(gate: Connection): void {
    gate.on('open', ({ user, channel }) => {
      this.#show('open', `open as ${user}`)
      this.#note(`joined ${nameOf(channel)}`)
      setStep('chat', 'done')
      moveOn(this.#join, this.#text)
    })
    gate.on('message', ({ channel, data, user }) => {
      const text = isChatMessage(data) ? data.text : JSON.stringify(data)
      this.#write(make('b', {}, user ?? 'the server'), ...this.#place(channel), ' ', text)
    })
    gate.on('renewed', ({ expires }) =>
      this.#note(`session renewed until ${new Date(expires * 1000).toLocaleTimeString()}`),
    )
    gate.on('lost', ({ channel, error }) => {
      this.#note(`unsubscribed from ${nameOf(channel)}: ${error.code}`)
      if (channel === this.#alsoHeard) this.#hears(undefined)
    })
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
    const channel = this.#to.value
    this.#text.value = ''
    const line = this.#write(make('b', {}, 'you'), ...this.#place(channel), ' ', words)
    try {
      await this.#gate.publish({ text: words } satisfies ChatMessage, channel)
    } catch (error) {
      line.append(make('span', { class: 'event' }, ` (not sent: ${(error as GateError).code})`))
    }
  }

  /** Subscribes to another channel on the same socket, or unsubscribes from it. */
  async #hearOther(channel: string): Promise<void> {
    const gate = this.#gate
    if (gate === undefined) return
    const old = this.#alsoHeard
    try {
      if (old === undefined) await gate.subscribe(channel)
      else await gate.unsubscribe(old)
      this.#hears(old === undefined ? channel : undefined)
      this.#note(old === undefined ? `subscribed to ${nameOf(channel)}` : `unsubscribed from ${nameOf(old)}`)
    } catch (error) {
      const { code, message } = error as GateError
      this.#note(`${code}: ${message}`)
    }
  }

  #hears(channel: string | undefined): void {
    this.#alsoHeard = channel
    this.#second.readOnly = channel !== undefined
    this.#subscribe.textContent = channel === undefined ? 'Subscribe' : 'Unsubscribe'
    this.#offer(channel === undefined ? [this.#channelName] : [this.#channelName, channel])
  }

  get #channelName(): string {
    return this.#to.options[0]?.value ?? ''
  }

  /** The channels that messages can be sent to. */
  #offer(channels: readonly string[]): void {
    const chosen = this.#to.value
    this.#to.replaceChildren(...channels.map(name => make('option', { value: name }, nameOf(name))))
    if (channels.includes(chosen)) this.#to.value = chosen
  }

  /** The channel of a message, unless it is the one that was joined. */
  #place(channel: string): Node[] {
    return channel === this.#channelName ? [] : [make('span', { class: 'event' }, ` in ${nameOf(channel)}`)]
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
    setUsable(this.#subscribe, state === 'open')
  }

  #rest(): void {
    this.#hears(undefined)
    setUsable(this.#join, this.#sessions.current !== undefined)
    this.#join.replaceChildren('Join ', this.#label)
  }
}

const nameOf = (channel: string): string => (channel === '' ? 'the unnamed channel' : channel)
