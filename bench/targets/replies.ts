import { once } from 'node:events'
import { WebSocket } from 'ws'
import type { Target } from './target.js'
import { type TokenShape, tokenShapeOf } from './tokens.js'
import { payload, ticketWire } from './wires.js'

/** Recorded replies of ticketgate. The floor sends the same bytes. */
export interface Replies {
  readonly token: TokenShape
  readonly headers: Readonly<Record<string, string>>
  readonly loginBody: string
  readonly ticketBody: string
  readonly welcome: string
  readonly message: string
  readonly ok: string
}

/** Sends a request and requires a 200. */
const ask = async (url: string, init: RequestInit): Promise<{ headers: Headers; text: string }> => {
  const response = await fetch(url, init)
  const text = await response.text()
  if (response.status !== 200)
    throw new Error(`${new URL(url).pathname} answered ${response.status}: ${text}`)
  return { headers: response.headers, text }
}

/** Runs the whole flow once and records the replies. */
export const recordReplies = async ({ child, logins }: Target): Promise<Replies> => {
  const login = await ask(`${child.url}/auth`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(logins.cheap),
  })
  const { token } = JSON.parse(login.text) as { token: string }
  const take = () => ask(`${child.url}/ws_ticket`, { headers: { authorization: `Bearer ${token}` } })
  const minted = await take()

  const open = async (text: string): Promise<{ socket: WebSocket; welcome: string }> => {
    const { ticket } = JSON.parse(text) as { ticket: string }
    const socket = new WebSocket(`${child.url.replace(/^http/, 'ws')}/channel/?ticket=${ticket}`)
    return { socket, welcome: await next(socket) }
  }
  const next = async (socket: WebSocket): Promise<string> => String((await once(socket, 'message'))[0])

  const listener = await open(minted.text)
  const publisher = await open((await take()).text)
  const heard = Promise.all([next(listener.socket), next(publisher.socket)])
  publisher.socket.send(ticketWire.publication(payload, 1))
  const [message, ok] = await heard
  for (const { socket } of [listener, publisher]) {
    socket.close()
    await once(socket, 'close')
  }
  return {
    token: tokenShapeOf(token),
    headers: {
      'content-type': minted.headers.get('content-type') ?? '',
      'cache-control': minted.headers.get('cache-control') ?? '',
    },
    loginBody: login.text,
    ticketBody: minted.text,
    welcome: listener.welcome,
    message,
    ok,
  }
}
