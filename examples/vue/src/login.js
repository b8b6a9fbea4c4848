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

/** The token of the login. There is no other one without the password, so a refused one ends the connection. */
export function getToken({ fresh }) {
  if (fresh) throw new GateError('logged_out', 'Log in again.')
  return token
}
