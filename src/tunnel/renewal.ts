import { rightsOf, type Socket } from '../socket/session.js'
import type { SocketTable } from '../socket/socket-table.js'
import { mayOpen } from '../ticket/rights.js'
import type { Revocations } from '../token/revocation.js'
import type { SessionRenewed } from '../wire/relay.js'

/**
 * Gives the sockets of a session that belong to tunnels what a fresh token gives: its rights, its
 * claims, and its end. A socket on whose channel it gives no right stays as it is, and ends when it
 * would have. Returns how many were renewed.
 */
export function renewTunnels(
  table: SocketTable,
  revocations: Pick<Revocations, 'covers' | 'onChannel'>,
  renewed: SessionRenewed,
): number {
  const { user, session: name, login, issuedAtSeconds, expiresAtSeconds, rights, carried } = renewed
  const authority = { user, session: login, issuedAtSeconds }
  // It may have been revoked on the way to this thread.
  if (revocations.covers(authority)) return 0
  const isRenewed = (ws: Socket): boolean => {
    const { session } = ws.getUserData()
    return (
      session.tunnel !== undefined &&
      session.user === user &&
      session.id === name &&
      mayOpen(rights, session.channel) &&
      revocations.onChannel(authority, session.channel) === undefined
    )
  }
  const sockets = [...table.filter(isRenewed)]
  for (const ws of sockets) {
    const { session } = ws.getUserData()
    session.id = login ?? session.id
    session.rights = rightsOf(rights)
    session.issuedAtSeconds = issuedAtSeconds
    if (session.carried !== carried) session.carried = carried
    table.renew(ws, expiresAtSeconds)
  }
  return sockets.length
}
