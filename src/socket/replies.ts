import type { NoticeMessage, ReplyMessage, WelcomeMessage } from '../protocol.js'
import { quoted } from '../telemetry/events.js'
import type { MessageId } from '../wire/encoding.js'
import type { Session, Socket } from './session.js'

/** The id of a request as it was written, if it has one. */
export type RequestId = MessageId | undefined

/**
 * Sends a message to one socket, in its encoding. uWS closes a socket that reads too slowly
 * (`dropped`).
 */
export function send(
  ws: Socket,
  message: WelcomeMessage | ReplyMessage | NoticeMessage,
  id?: MessageId,
): void {
  const { encoding }: Session = ws.getUserData().session
  ws.send(encoding.write(message, id), encoding.isBinary)
}

/** Sends a reply, with the id of the request if it had one. */
export const answer = (ws: Socket, message: ReplyMessage, id: RequestId): void => send(ws, message, id)

/**
 * Sends a notice, with the operator's reason if there is one. Does nothing on a tunnel, whose ends
 * speak their own protocol.
 */
export function notify(ws: Socket, notice: NoticeMessage, reason: string | undefined): void {
  if (ws.getUserData().session.tunnel === undefined)
    send(ws, reason === undefined ? notice : { ...notice, reason })
}

/** Confirms a request, if it has an id. */
export function done(ws: Socket, id: RequestId): void {
  if (id === undefined) return
  const { encoding } = ws.getUserData().session
  ws.send(encoding.confirm(id), encoding.isBinary)
}

/** Reports why a request failed. */
export const fail = (ws: Socket, code: string, detail: string, id: RequestId): void =>
  answer(ws, { type: 'error', code, detail }, id)

/** Sends the first message to a socket whose user is known. */
export function welcome(ws: Socket): void {
  const { id, user, channel, expiresAtSeconds, encoding } = ws.getUserData().session
  // Sent in every handshake. Only the names of session and user can need escaping.
  if (encoding.name === 'json')
    ws.send(
      `{"type":"welcome","session":${quoted(id)},"user":${quoted(user)},"channel":"${channel}","expires":${expiresAtSeconds}}`,
    )
  else send(ws, { type: 'welcome', session: id, user, channel, expires: expiresAtSeconds })
}
