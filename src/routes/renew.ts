import type { TokenCheck } from '../admission/token-check.js'
import type { Clock } from '../clock.js'
import { Refusal } from '../errors.js'
import { maxBodyBytes, parseJsonObject } from '../http/body.js'
import type { Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import { isSessionId, routes } from '../protocol.js'
import type { SessionRenewed } from '../wire/relay.js'
import { denied, readToken } from './bearer.js'

export interface RenewRouteParts {
  readonly check: TokenCheck
  readonly maxTokenBytes: number
  /** Tells every thread of this gate. */
  readonly tell: (renewed: SessionRenewed) => void
  readonly clock: Clock
}

/**
 * `/ws_ticket/renew`: extends the sockets of a session that cannot renew in band, since their two
 * ends speak a protocol of their own.
 */
export function renewRoute({ check, maxTokenBytes, tell, clock }: RenewRouteParts): Route<undefined> {
  return {
    path: routes.renew,
    methods: ['POST'],
    context: () => undefined,
    maxBodyBytes: maxTokenBytes + maxBodyBytes,
    handler(head, _, body) {
      const nowMs = clock()
      const asked = body.length > 0 ? parseJsonObject(body, head.contentType) : {}
      const token = check.identify(readToken(head.authorization, asked.token), nowMs)
      if ('code' in token) throw denied(token)
      refuseUnknown('member', Object.keys(asked), ['session', 'token'])
      const refusal = check.permit(token, undefined, nowMs)
      if (refusal !== undefined) throw denied(refusal)
      const { user, session: login, issuedAtSeconds, expiresAtSeconds, publish, subscribe, carried } = token
      const session = asked.session ?? login
      if (typeof session !== 'string' || !isSessionId(session))
        throw new Refusal('bad_request', {
          detail: 'The token names no session: send the one of the sockets as {"session": "…"}.',
        })
      const rights = { publish, subscribe }
      tell({ type: 'renew', user, session, login, issuedAtSeconds, expiresAtSeconds, rights, carried })
      return { body: JSON.stringify({ expires: expiresAtSeconds }) }
    },
  }
}
