import { Refusal } from '../../errors.js'
import { parseJsonObject } from '../../http/body.js'
import { refuseUnknown } from '../../http/unknown-names.js'
import { isSessionId, isUserName, routes } from '../../protocol.js'
import type { Control, Subject } from '../../socket/control.js'
import type { AdminRoute } from './admin-route.js'

/** `POST /disconnect`: ends the sockets of a user or a session, and what they could open others with. */
export const disconnectRoute = (control: Pick<Control, 'disconnect'>): AdminRoute => ({
  path: routes.disconnect,
  method: 'POST',
  async handler(head, body) {
    const disconnected = await control.disconnect(readSubject(parseJsonObject(body, head.contentType)))
    return { body: JSON.stringify({ disconnected }) }
  },
})

function readSubject(members: Readonly<Record<string, unknown>>): Subject {
  refuseUnknown('member', Object.keys(members), ['user', 'session'])
  const { user, session } = members
  if (typeof user === 'string' && isUserName(user) && session === undefined) return { user }
  if (typeof session === 'string' && isSessionId(session) && user === undefined) return { session }
  throw new Refusal('bad_request', { detail: 'The body must be {"user": "…"} or {"session": "…"}.' })
}
