import { routes } from '../../protocol.js'
import { byId, setStep, status, submitOf, type WireLine, wire } from './dom.js'
import { ask, noReply, refusalText } from './http.js'
import type { Session, SessionStore } from './session.js'
import { claimsOf, tokenView } from './token-view.js'

/**
 * Step 1: a token, by the server's own login or, if an identity provider gives them, pasted here.
 */
export function setUpLogin(sessions: SessionStore): void {
  const isPasted = document.body.dataset.login === 'token'
  for (const element of document.querySelectorAll(isPasted ? '.by-password' : '.by-token')) element.remove()
  const sentFor = isPasted ? setUpPaste(sessions) : setUpPassword(sessions)
  sessions.onChange((session, reason) => {
    if (session === undefined) {
      show([['←', status(reason)]], true)
      setStep('login', 'open')
    } else {
      show([sentFor(session), ['←', status('200')]])
      byId('login-result', HTMLDivElement).append(...tokenView(session.token))
      setStep('login', 'done')
    }
  })
}

/** Returns what was sent for a session. */
type SentFor = (session: Session) => WireLine

function setUpPassword(sessions: SessionStore): SentFor {
  const user = byId('user', HTMLInputElement)
  const password = byId('password', HTMLInputElement)
  const sent = (name: string): WireLine => [
    '→',
    `POST ${routes.auth} {"user":${JSON.stringify(name)},"pwd":"…"}`,
  ]
  onSubmit('login', async () => {
    const json = { user: user.value, pwd: password.value }
    const reply = await ask('POST', routes.auth, { json }).catch(noReply)
    if (reply.status !== 200 || typeof reply.body.token !== 'string')
      return show([sent(user.value), ['←', status(refusalText(reply))]], true)
    password.value = ''
    sessions.set({ user: user.value, token: reply.body.token })
  })
  sessions.onChange(session => {
    if (session !== undefined) user.value = session.user
  })
  return session => sent(session.user)
}

function setUpPaste(sessions: SessionStore): SentFor {
  const text = byId('token', HTMLTextAreaElement)
  const sent = (token: string): WireLine => [
    '→',
    `POST ${routes.ticket} with Authorization: Bearer ${token.slice(0, 12)}…`,
  ]
  onSubmit('paste', async () => {
    // As it comes from a terminal or a header.
    const token = text.value.replace(/^\s*(Bearer\s+)?|\s+/gi, '')
    const claims = claimsOf(token)
    if (claims === undefined) return show([['token', 'This is no JWT: paste all three parts of it.']], true)
    const reply = await ask('POST', routes.ticket, { token }).catch(noReply)
    if (reply.status !== 200) return show([sent(token), ['←', status(refusalText(reply))]], true)
    text.value = ''
    sessions.set({ user: String(claims.sub), token })
  })
  return session => sent(session.token)
}

/** Runs `act` when a form is sent; its button rests meanwhile. */
function onSubmit(id: string, act: () => Promise<void>): void {
  const form = byId(id, HTMLFormElement)
  const button = submitOf(form)
  form.addEventListener('submit', async event => {
    event.preventDefault()
    button.disabled = true
    await act()
    button.disabled = false
  })
}

const show = (lines: readonly WireLine[], isRefused = false): void =>
  byId('login-result', HTMLDivElement).replaceChildren(wire(lines, isRefused))
