import type { NoticeMessage, ReplyMessage, WelcomeMessage } from '../protocol.js'
import type { Session, Socket } from './session.js'

/** The id of a request as it was written, if it has one. */
export type RequestId = Uint8Array | undefined

/**
 * Says something to one socket, in its encoding. uWS closes one that reads too slowly (`dropped`).
 */
export function send(
  ws: Socket,
  message: WelcomeMessage | ReplyMessage | NoticeMessage,
  id?: Uint8Array,
): void {
  const { encoding }: Session = ws.getUserData().session
  ws.send(encoding.write(message, id), encoding.isBinary)
}

/** An answer, with the id of the request where it had one. */
export const answer = (ws: Socket, message: ReplyMessage, id: RequestId): void => send(ws, message, id)

/**
 * Says something that was not asked for, with the words of the operator where there are any. On a
 * tunnel nothing is said: its two ends speak a protocol of their own.
 */
export function notify(ws: Socket, notice: NoticeMessage, reason: string | undefined): void {
  if (ws.getUserData().session.tunnel === undefined)
    send(ws, reason === undefined ? notice : { ...notice, reason })
}

/** Says that a request was done, if it can be told which. */
export function done(ws: Socket, id: RequestId): void {
  if (id !== undefined) send(ws, { type: 'ok' }, id)
}

/** Says why a request was not done. */
export const fail = (ws: Socket, code: string, detail: string, id: RequestId): void =>
  answer(ws, { type: 'error', code, detail }, id)

/** The first message to a socket whose user is known. */
export function welcome(ws: Socket): void {
  const { id, user, channel, expiresAtSeconds, encoding } = ws.getUserData().session
  // Every handshake sends it. Nothing in it but the user's name can need escaping: the rest is
  // checked characters.
  if (encoding.name === 'json')
    ws.send(
      `{"type":"welcome","session":${JSON.stringify(id)},"user":${JSON.stringify(user)},"channel":"${channel}","expires":${expiresAtSeconds}}`,
    )
  else send(ws, { type: 'welcome', session: id, user, channel, expires: expiresAtSeconds })
}
