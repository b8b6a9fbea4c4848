import type { TokenCheck } from '../admission/token-check.js'
import type { Clock } from '../clock.js'
import { Refusal } from '../errors.js'
import { maxBodyBytes, parseJsonObject } from '../http/body.js'
import type { Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import { isSessionId, isSocketId, type RenewReply, routes } from '../protocol.js'
import type { SessionRenewed } from '../wire/relay.js'
import { denied, readToken } from './bearer.js'

/** How far a renewal has reached. */
export type RenewReach = Pick<RenewReply, 'extended' | 'forwarded'>

/** Extends sockets in every thread, and tells the other gates. */
export type Renew = (renewed: SessionRenewed) => Promise<RenewReach>

export interface RenewRouteParts {
  readonly check: TokenCheck
  readonly maxTokenBytes: number
  readonly renew: Renew
  readonly clock: Clock
}

/**
 * `/ws_ticket/renew`: extends sockets that cannot renew in band, since their two ends speak a
 * protocol of their own.
 */
export function renewRoute({ check, maxTokenBytes, renew, clock }: RenewRouteParts): Route<undefined> {
  return {
    path: routes.renew,
    methods: ['POST'],
    context: () => undefined,
    maxBodyBytes: maxTokenBytes + maxBodyBytes,
    async handler(head, _, body) {
      const nowMs = clock()
      const asked = body.length > 0 ? parseJsonObject(body, head) : {}
      const token = check.identify(readToken(head.authorization, asked.token), nowMs)
      if ('code' in token) throw denied(token)
      refuseUnknown('member', Object.keys(asked), ['session', 'socket', 'token'])
      const refusal = check.permit(token, undefined, nowMs)
      if (refusal !== undefined) throw denied(refusal)
      const { user, session: login, issuedAtSeconds, expiresAtSeconds, publish, subscribe, carried } = token
      const rights = { publish, subscribe }
      const authority = { user, login, issuedAtSeconds, expiresAtSeconds, rights, carried }
      const renewed: SessionRenewed = { type: 'renew', ...readTarget(asked, login), ...authority }
      const reached = await renew(renewed)
      const reply: RenewReply = { expires: expiresAtSeconds, session: login ?? renewed.session, ...reached }
      return { body: JSON.stringify(reply) }
    },
  }
}

/** Which sockets are to be renewed: those of a session, or one. */
function readTarget(
  { session: named, socket }: Readonly<Record<string, unknown>>,
  login: string | undefined,
): Pick<SessionRenewed, 'session' | 'socket'> {
  if (socket === undefined) {
    const session = named ?? login
    if (typeof session === 'string' && isSessionId(session)) return { session, socket }
    throw new Refusal('bad_request', {
      detail: 'The token names no session: send the one of the sockets as {"session": "…"}.',
    })
  }
  if (named === undefined && typeof socket === 'string' && isSocketId(socket))
    return { session: undefined, socket }
  throw new Refusal('bad_request', { detail: 'Send a session, or the id of one socket.' })
}
