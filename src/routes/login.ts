import { type Credentials, LoginAdmission, type LoginParts, type LoginRefused } from '../admission/login.js'
import { Refusal } from '../errors.js'
import { parseJsonObject, requireJson } from '../http/body.js'
import type { ClientView } from '../http/client-view.js'
import type { RequestHead } from '../http/request.js'
import { fieldsOf } from '../http/request-log.js'
import type { Reply, Route } from '../http/server.js'
import { refuseUnknown } from '../http/unknown-names.js'
import { routes } from '../protocol.js'
import { observe } from '../telemetry/durations.js'
import type { Counters } from '../telemetry/metrics.js'
import type { Address } from '../ticket/address.js'
import type { LoginTokens } from '../token/login-token.js'

export interface AuthParts extends LoginParts {
  readonly tokens: LoginTokens
  readonly clients: ClientView
  readonly counters: Counters
}

/** `/auth`: exchanges user and password for a token. */
export function authRoute(parts: AuthParts): Route<Address> {
  const { tokens, clients, counters } = parts
  const admission = new LoginAdmission(parts)

  async function logIn(head: RequestHead, address: Address, credentials: Credentials): Promise<Reply> {
    const startedMs = performance.now()
    const outcome = await admission.logIn(address, credentials, fieldsOf(head))
    observe(counters.durations.login, performance.now() - startedMs)
    // The login has logged this already, with the reason that the client is not told.
    if ('code' in outcome) throw refusalOf({ ...outcome, isTold: true }, head)
    counters.tokensIssued++
    const { user, nowMs } = outcome
    return { body: JSON.stringify(tokens.issue({ user: user.name, channels: user.channels }, nowMs)) }
  }

  return {
    path: routes.auth,
    methods: ['GET', 'POST'],
    context: exchange => clients.address(exchange),
    handler(head, address, body) {
      // A body without a length counts as absent. But with a content type, the client probably
      // meant JSON.
      if (head.contentType === '' && body.length === 0 && waitsForChallenge(head))
        throw badCredentials('Send user and password, as HTTP Basic or JSON.', true)
      // Before it counts, so that no page can use up the logins of its visitors.
      if (!basicPattern.test(head.authorization)) requireJson(head)
      const refused = admission.refuseAddress(address)
      if (refused !== undefined) throw refusalOf(refused, head)
      return logIn(head, address, readCredentials(head, body))
    },
  }
}

const refusalOf = (
  { code, ...options }: LoginRefused & { readonly isTold?: true },
  head: RequestHead,
): Refusal =>
  code === 'bad_credentials'
    ? badCredentials(options.detail, basicPattern.test(head.authorization), options.isTold)
    : new Refusal(code, options)

const basicPattern = /^basic +([A-Za-z0-9+/]+={0,2})$/i

/** HTTP Basic (RFC 7617) if sent, else the JSON body. */
function readCredentials(head: RequestHead, body: Buffer): Credentials {
  const encoded = basicPattern.exec(head.authorization)?.[1]
  if (encoded !== undefined) {
    const pair = Buffer.from(encoded, 'base64').toString()
    const colon = pair.indexOf(':')
    if (colon < 0) throw new Refusal('bad_request', { detail: 'HTTP Basic credentials are user:password.' })
    return { user: pair.slice(0, colon), password: pair.slice(colon + 1) }
  }
  const members = parseJsonObject(body, head)
  refuseUnknown('member', Object.keys(members), ['user', 'pwd'])
  const { user, pwd } = members
  if (typeof user !== 'string' || typeof pwd !== 'string')
    throw new Refusal('bad_request', { detail: 'The body must be {"user": "…", "pwd": "…"}.' })
  return { user, password: pwd }
}

/**
 * Whether this may be a client that sends its credentials only after a challenge (`curl
 * --anyauth`), and not a web page.
 */
const waitsForChallenge = ({ origin, authorization }: RequestHead): boolean =>
  origin === '' && authorization === ''

// RFC 9110 section 11.6.1 requires a challenge with a 401. But browsers would then prompt visitors
// of pages that log in with JSON, so only clients that use Basic, or wait for it, get the
// challenge.
const badCredentials = (detail: string | undefined, challenges: boolean, isTold?: true): Refusal =>
  new Refusal('bad_credentials', {
    ...(detail === undefined ? {} : { detail }),
    ...(isTold === undefined ? {} : { isTold }),
    headers: challenges ? { 'www-authenticate': 'Basic realm="ticketgate", charset="UTF-8"' } : {},
  })
