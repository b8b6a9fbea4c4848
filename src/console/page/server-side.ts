import { disconnectCommand, publishCommand } from '../commands.js'
import { consolePaths } from '../figures.js'
import { setUpCopy } from './copy.js'
import { announce, byId, onPress, onSubmit, setStep, setUsable, status, submitOf, wire } from './dom.js'
import { ask, noReply, refusalText } from './http.js'
import type { SessionStore } from './session.js'
import { claimsOf } from './token-view.js'

/** Step 6: what a back end does. In development this page can make the server do it. */
export function setUpServerSide(sessions: SessionStore): void {
  const { admin } = document.body.dataset
  if (admin) new ServerSideStep(sessions, admin)
  else byId('step-server', HTMLLIElement).remove()
}

class ServerSideStep {
  readonly #sessions: SessionStore
  readonly #channel = byId('server-channel', HTMLInputElement)
  readonly #text = byId('server-text', HTMLInputElement)
  readonly #result = byId('server-result', HTMLDivElement)

  constructor(sessions: SessionStore, adminUrl: string) {
    this.#sessions = sessions
    const form = byId('server-publish', HTMLFormElement)
    const disconnect = byId('server-disconnect', HTMLButtonElement)
    const isReady = (): boolean => sessions.current !== undefined
    onSubmit(form, { act: () => this.#ask(consolePaths.publish, this.#publication), isReady })
    onPress(disconnect, { act: () => this.#ask(consolePaths.disconnect, {}), isReady })
    sessions.onChange(session => {
      setUsable(submitOf(form), session !== undefined)
      setUsable(disconnect, session !== undefined)
      setStep('server', session === undefined ? 'locked' : 'open')
    })
    setUpCopy('copy-publish', 'Publish', () => {
      const { channel, data } = this.#publication
      return publishCommand(adminUrl, channel, data)
    })
    setUpCopy('copy-disconnect', 'Disconnect the session', () => disconnectCommand(adminUrl, this.#subject))
  }

  get #publication(): { readonly channel: string; readonly data: object } {
    return { channel: this.#channel.value, data: { text: this.#text.value } }
  }

  /** The session of the token or, if it names none, its user. */
  get #subject(): { readonly user: string } | { readonly session: string } {
    const { current } = this.#sessions
    const sid = current === undefined ? undefined : claimsOf(current.token)?.sid
    return typeof sid === 'string' ? { session: sid } : { user: current?.user ?? 'USER' }
  }

  async #ask(path: string, json: object): Promise<void> {
    const { current } = this.#sessions
    if (current === undefined) return
    const reply = await ask('POST', path, { token: current.token, json }).catch(noReply)
    const isDone = reply.status === 200
    const words = isDone ? '200' : refusalText(reply)
    const sent = ['→', `POST ${path} ${JSON.stringify(json)}`] as const
    this.#result.replaceChildren(wire([sent, ['←', status(words)]], !isDone))
    announce(words)
    if (isDone) setStep('server', 'done')
    // The token may have ended with the session.
    if (path === consolePaths.disconnect || reply.status === 401) await this.#sessions.check()
  }
}
