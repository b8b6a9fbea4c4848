import { routes } from '../../protocol.js'
import { announce, byId, moveOn, onSubmit, setStep, status, submitOf, type WireLine, wire } from './dom.js'
import { ask, noReply, refusalText } from './http.js'
import type { Session, SessionStore } from './session.js'
import { claimsOf, tokenView } from './token-view.js'

/**
 * Step 1: gets a token from the server's own login, or takes a pasted one of an identity provider.
 */
export function setUpLogin(sessions: SessionStore): void {
  const isPasted = document.body.dataset.login === 'token'
  for (const element of document.querySelectorAll(isPasted ? '.by-password' : '.by-token')) element.remove()
  const sentFor = isPasted ? setUpPaste(sessions) : setUpPassword(sessions)
  sessions.onChange((session, reason) => {
    if (session === undefined) {
      refuse([['←', status(reason)]], reason)
      setStep('login', 'open')
    } else {
      show([sentFor(session), ['←', status('200')]])
      byId('login-result', HTMLDivElement).append(...tokenView(session.token))
      announce(`You are ${session.user}. The token is below.`)
      setStep('login', 'done')
    }
  })
}

/** Returns the line that was sent for a session. */
type SentLine = (session: Session) => WireLine

function setUpPassword(sessions: SessionStore): SentLine {
  const user = byId('user', HTMLInputElement)
  const password = byId('password', HTMLInputElement)
  const sent = (name: string): WireLine => [
    '→',
    `POST ${routes.auth} {"user":${JSON.stringify(name)},"pwd":"…"}`,
  ]
  const form = byId('login', HTMLFormElement)
  onSubmit(form, {
    async act() {
      const json = { user: user.value, pwd: password.value }
      const reply = await ask('POST', routes.auth, { json }).catch(noReply)
      if (reply.status !== 200 || typeof reply.body.token !== 'string')
        return refuse([sent(user.value), ['←', status(refusalText(reply))]], refusalText(reply))
      password.value = ''
      sessions.set({ user: user.value, token: reply.body.token })
      moveOn(form, takeButton())
    },
  })
  sessions.onChange(session => {
    if (session !== undefined) user.value = session.user
  })
  return session => sent(session.user)
}

function setUpPaste(sessions: SessionStore): SentLine {
  const text = byId('token', HTMLTextAreaElement)
  const sent = (token: string): WireLine => [
    '→',
    `POST ${routes.ticket} with Authorization: Bearer ${token.slice(0, 12)}…`,
  ]
  const form = byId('paste', HTMLFormElement)
  onSubmit(form, {
    async act() {
      // As copied from a terminal or a header.
      const token = text.value.replace(/^\s*(Bearer\s+)?|\s+/gi, '')
      const claims = claimsOf(token)
      if (claims === undefined) {
        const words = 'This is not a JWT. Paste all three of its parts.'
        return refuse([['token', words]], words)
      }
      const reply = await ask('POST', routes.ticket, { token }).catch(noReply)
      if (reply.status !== 200)
        return refuse([sent(token), ['←', status(refusalText(reply))]], refusalText(reply))
      text.value = ''
      sessions.set({ user: String(claims.sub), token })
      moveOn(form, takeButton())
    },
  })
  return session => sent(session.token)
}

/** The next step once there is a token. */
const takeButton = (): HTMLButtonElement => submitOf(byId('take', HTMLFormElement))

function refuse(lines: readonly WireLine[], words: string): void {
  show(lines, true)
  announce(words)
}

const show = (lines: readonly WireLine[], isRefused = false): void =>
  byId('login-result', HTMLDivElement).replaceChildren(wire(lines, isRefused))
