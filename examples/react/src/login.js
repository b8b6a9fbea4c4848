import { GateError } from 'ticketgate/client'

export const gateUrl = new URLSearchParams(location.search).get('gate') ?? 'http://127.0.0.1:8080'

let token

export async function logIn(user, pwd) {
  const reply = await fetch(`${gateUrl}/auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user, pwd }),
  })
  const body = await reply.json()
  if (!reply.ok) throw new Error(body.detail ?? body.title)
  token = body.token
}

/** The token of the login. Another one would need the password, so if it is refused, the connection ends. */
export function getToken({ fresh }) {
  if (fresh) throw new GateError('logged_out', 'Log in again.')
  return token
}
