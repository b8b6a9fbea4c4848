import { routes } from '../../protocol.js'
import { byId, make, setStep, status, submitOf, wire } from './dom.js'
import { ask, refusalText } from './http.js'
import type { Session, SessionStore } from './session.js'

/** Step 1: user and password for a token. */
export function setUpLogin(sessions: SessionStore): void {
  const form = byId('login', HTMLFormElement)
  const user = byId('user', HTMLInputElement)
  const password = byId('password', HTMLInputElement)
  const result = byId('login-result', HTMLDivElement)
  const button = submitOf(form)

  form.addEventListener('submit', async event => {
    event.preventDefault()
    button.disabled = true
    try {
      const json = { user: user.value, pwd: password.value }
      const reply = await ask('POST', routes.auth, { json })
      if (reply.status === 200 && typeof reply.body.token === 'string') {
        password.value = ''
        sessions.set({ user: user.value, token: reply.body.token })
      } else result.replaceChildren(wire([sent(user.value), ['←', status(refusalText(reply))]], true))
    } catch {
      result.replaceChildren(
        wire([sent(user.value), ['←', status('no answer: is the server running?')]], true),
      )
    } finally {
      button.disabled = false
    }
  })

  sessions.onChange(session => {
    user.value = session.user
    result.replaceChildren(wire([sent(session.user), ['←', status('200')]]), ...tokenView(session))
    setStep('login', 'done')
  })
}

const sent = (user: string): readonly [string, string] => [
  '→',
  `POST ${routes.auth} {"user":${JSON.stringify(user)},"pwd":"…"}`,
]

/** The three parts of a JWT: as they travel, and what they say. */
function tokenView({ token }: Session): Element[] {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const text = make(
    'p',
    { class: 'token' },
    make('span', { 'data-field': 'header' }, header),
    '.',
    make('span', { 'data-field': 'payload' }, payload),
    '.',
    make('span', { 'data-field': 'signature' }, signature),
  )
  const claims = decode(payload)
  const expiry = new Date(Number(claims.exp) * 1000).toLocaleTimeString()
  return [
    text,
    make(
      'div',
      { class: 'parts' },
      part('header', JSON.stringify(decode(header), null, 2)),
      part(
        'payload',
        JSON.stringify(claims, null, 2),
        `It expires at ${expiry}, and the sockets opened with it do too.`,
      ),
    ),
  ]
}

function part(name: 'header' | 'payload', text: string, note = ''): Element {
  return make(
    'section',
    { class: 'part', 'aria-label': `Token, ${name}` },
    make('h3', { 'data-field': name }, name),
    make('pre', {}, text),
    ...(note === '' ? [] : [make('p', {}, note)]),
  )
}

function decode(base64url: string): Record<string, unknown> {
  const binary = atob(base64url.replaceAll('-', '+').replaceAll('_', '/'))
  const bytes = Uint8Array.from(binary, letter => letter.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes))
}
