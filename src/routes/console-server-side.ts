import { randomUUID } from 'node:crypto'
import type { TokenCheck } from '../admission/token-check.js'
import { type Clock, toSeconds } from '../clock.js'
import { consolePaths } from '../console/figures.js'
import { Refusal } from '../errors.js'
import { parseJsonObject } from '../http/body.js'
import type { RequestHead } from '../http/request.js'
import type { Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import { isChannelName } from '../protocol.js'
import { mayPublish } from '../ticket/rights.js'
import type { TokenClaims } from '../token/claims.js'
import { json } from '../wire/json.js'
import type { Publication } from '../wire/relay.js'
import type { LogOut } from './backchannel-logout.js'
import { denied, readToken } from './bearer.js'

/**
 * What the console may do in the place of a back end. In development alone: to publish without a
 * name is for the server's side.
 */
export interface ServerSide {
  /** Where a back end would do it. */
  readonly adminUrl: string
  readonly check: TokenCheck
  /** Publishes to all threads and nodes. */
  readonly publish: (publication: Publication) => void
  readonly logOut: LogOut
  readonly clock: Clock
}

/** The routes for the last step of the console. Both take a token, so no other page can use them. */
export function serverSideRoutes({ check, publish, logOut, clock }: ServerSide): Route<undefined>[] {
  function identify(head: RequestHead): TokenClaims {
    const token = check.identify(readToken(head.authorization, undefined), clock())
    if ('code' in token) throw denied(token)
    return token
  }

  return [
    {
      path: consolePaths.publish,
      methods: ['POST'],
      context: () => undefined,
      handler(head, _, body) {
        const token = identify(head)
        const asked = parseJsonObject(body, head)
        refuseUnknown('member', Object.keys(asked), ['channel', 'data'])
        const { channel, data } = asked
        if (typeof channel !== 'string' || !isChannelName(channel)) throw new Refusal('channel_invalid')
        const refusal = check.permit(token, channel, clock())
        if (refusal !== undefined) throw denied(refusal)
        // Users who may only listen must not speak for the server.
        if (!mayPublish(token, channel)) throw new Refusal('channel_forbidden')
        publish({ type: 'publish', channel, encoding: 'json', data: json.pack(data ?? null) })
        return { body: '{}' }
      },
    },
    {
      path: consolePaths.disconnect,
      methods: ['POST'],
      context: () => undefined,
      async handler(head) {
        const { user, session } = identify(head)
        const outcome = await logOut({
          id: `console ${randomUUID()}`,
          subject: session === undefined ? { user } : { session },
          issuedAtSeconds: toSeconds(clock()),
        })
        if (outcome === 'full') throw new Refusal('revocations_full')
        if (outcome !== 'done') throw new Refusal('internal_error')
        return { body: '{}' }
      },
    },
  ]
}
