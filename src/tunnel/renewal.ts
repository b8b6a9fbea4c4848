import { rightsOf, type Socket } from '../socket/session.js'
import type { Sockets } from '../socket/sockets.js'
import { mayOpen } from '../ticket/rights.js'
import { isOwnSession } from '../ticket/session-id.js'
import type { Revocations } from '../token/revocation.js'
import type { SessionRenewed } from '../wire/relay.js'

/**
 * Gives the sockets of a session, or one socket, in tunnels the rights, the claims and the expiry
 * of a fresh token of their user. A socket on whose channel the token gives no right is not
 * changed, and ends at its old expiry. Returns how many were renewed.
 */
export function renewTunnels(
  { table, ids }: Pick<Sockets, 'table' | 'ids'>,
  revocations: Pick<Revocations, 'covers' | 'onChannel'>,
  renewed: SessionRenewed,
): number {
  const { user, session: name, socket, login, issuedAtSeconds, expiresAtSeconds, rights, carried } = renewed
  const authority = { user, session: login, issuedAtSeconds }
  // The token may have been revoked on the way to this thread.
  if (revocations.covers(authority)) return 0
  const number = socket === undefined ? undefined : ids.numberOf(socket)
  // The socket belongs to another thread or node.
  if (socket !== undefined && number === undefined) return 0
  const isRenewed = (ws: Socket): boolean => {
    const { session } = ws.getUserData()
    return (
      session.tunnel !== undefined &&
      session.user === user &&
      (number === undefined ? session.id === name : session.socket === number) &&
      mayOpen(rights, session.channel) &&
      revocations.onChannel(authority, session.channel) === undefined
    )
  }
  const sockets = [...table.filter(isRenewed)]
  // Messages between threads and nodes lose the missing prototype.
  const claims = carried && Object.assign(Object.create(null), carried)
  for (const ws of sockets) {
    const { session } = ws.getUserData()
    const isFormer = login === undefined && !isOwnSession(session.id)
    if (isFormer || session.isFormer) session.isFormer = isFormer
    session.id = login ?? session.id
    session.rights = rightsOf(rights)
    session.issuedAtSeconds = issuedAtSeconds
    if (session.carried !== claims) session.carried = claims
    table.renew(ws, expiresAtSeconds)
  }
  return sockets.length
}
