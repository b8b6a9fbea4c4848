import type { Application } from '../socket/application.js'
import { closeFailed, isOpen } from '../socket/closing.js'
import { rightsOf, type Socket } from '../socket/session.js'
import type { Sockets } from '../socket/sockets.js'
import type { Log } from '../telemetry/log.js'
import { type CarriedClaims, noClaims } from '../ticket/carried-claims.js'
import { mayOpen } from '../ticket/rights.js'
import { isOwnSession } from '../ticket/session-id.js'
import type { Revocations } from '../token/revocation.js'
import type { SessionRenewed } from '../wire/relay.js'

export interface TunnelRenewalParts {
  readonly sockets: Pick<Sockets, 'table' | 'ids'>
  readonly revocations: Pick<Revocations, 'covers' | 'onChannel'>
  readonly application: Application | undefined
  readonly log: Log
}

/**
 * Gives the sockets of a session, or one socket, in tunnels the rights, the claims and the expiry
 * of a fresh token of their user. A socket on whose channel the token gives no right, or that the
 * application refuses, is not changed, and ends at its old expiry. Returns how many were renewed.
 */
export function renewTunnels(parts: TunnelRenewalParts, renewed: SessionRenewed): number {
  const { sockets, revocations } = parts
  const { table, ids } = sockets
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
  // Messages between threads and nodes lose the missing prototype.
  const claims = carried && Object.assign(Object.create(null), carried)
  let extended = 0
  for (const ws of table.filter(isRenewed)) {
    if (!isAuthorized(ws, renewed, claims, parts)) continue
    const { session } = ws.getUserData()
    const isFormer = login === undefined && !isOwnSession(session.id)
    if (isFormer || session.isFormer) session.isFormer = isFormer
    session.id = login ?? session.id
    session.rights = rightsOf(rights)
    session.issuedAtSeconds = issuedAtSeconds
    if (session.carried !== claims) session.carried = claims
    table.renew(ws, expiresAtSeconds)
    extended++
  }
  return extended
}

/**
 * Asks the application, as for a handshake. It may close this socket or others meanwhile.
 */
function isAuthorized(
  ws: Socket,
  { user, login, expiresAtSeconds }: SessionRenewed,
  claims: CarriedClaims | undefined,
  { application, log }: TunnelRenewalParts,
): boolean {
  if (!isOpen(ws)) return false
  const { channel, origin } = ws.getUserData().session
  const request = {
    user,
    session: login,
    channel,
    origin,
    expires: expiresAtSeconds,
    claims: claims ?? noClaims,
  }
  try {
    return application?.authorize(request) !== false && isOpen(ws)
  } catch (error) {
    closeFailed(ws, error, log)
    return false
  }
}
