import { Refusal } from '../../errors.js'
import { parseJsonObject } from '../../http/body.js'
import { refuseUnknown } from '../../http/unknown-names.js'
import { routes } from '../../protocol.js'
import type { Control } from '../../socket/control.js'
import { type Disconnection, disconnectionMembers, readDisconnection } from '../../socket/disconnection.js'
import type { Reach } from '../../socket/revoking.js'
import type { AdminRoute } from './admin-route.js'

/**
 * `POST /disconnect`: ends sockets, and revokes the tokens and tickets that could open new ones.
 */
export const disconnectRoute = (control: Pick<Control, 'disconnect'>): AdminRoute => ({
  path: routes.disconnect,
  methods: ['POST'],
  async handler(head, body) {
    refuseUnknown('parameter', new URLSearchParams(head.query).keys(), [])
    const members = parseJsonObject(body, head)
    refuseUnknown('member', Object.keys(members), disconnectionMembers)
    const disconnection = readDisconnection(members)
    if (typeof disconnection === 'string') throw new Refusal('bad_request', { detail: disconnection })
    return { body: JSON.stringify(counted(disconnection, await control.disconnect(disconnection))) }
  },
})

/** The counts that apply to this kind of request. */
function counted(asked: Disconnection, reach: Reach): Partial<Reach> {
  const { disconnected, unsubscribed, renewRequired } = reach
  if (asked.reauthenticateWithinSeconds !== undefined) return { renewRequired }
  if (!('channel' in asked)) return { disconnected }
  // If a user loses a channel, only the sockets of tunnels are closed.
  return 'user' in asked && disconnected === 0 ? { unsubscribed } : { disconnected, unsubscribed }
}
