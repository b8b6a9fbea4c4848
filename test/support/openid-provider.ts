import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Provider } from 'oidc-provider'
import type { Test } from 'tap'

export const resource = 'https://gate.example'
export const clientId = 'web'
const redirectUri = 'https://app.example/callback'

/** A browser's session with the provider, and what its client received. */
export interface Login {
  readonly accessToken: string
  readonly idToken: string
  /** Logs out at the provider. Resolves once that has notified its clients. */
  logOut(): Promise<void>
}

export interface OpenIdProvider {
  readonly issuer: string
  /** Logs in, in a separate browser. */
  logIn(user: string): Promise<Login>
  /** The logout tokens that it has sent, and the responses. */
  readonly sent: readonly { readonly token: string; readonly status: number }[]
}

const freshKey = async (): Promise<object> => {
  const { exportJWK, generateKeyPair } = await import('jose')
  const { privateKey } = await generateKeyPair('RS256', { extractable: true })
  return { ...(await exportJWK(privateKey)), use: 'sig', alg: 'RS256', kid: randomBytes(4).toString('hex') }
}

const configurationOf = async (issuer: string): Promise<object> => ({
  jwks: { keys: [await freshKey()] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  clients: [
    {
      client_id: clientId,
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirectUri],
      response_types: ['code'],
      grant_types: ['authorization_code'],
      backchannel_logout_uri: `${issuer}/to-gate`,
      backchannel_logout_session_required: true,
    },
  ],
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: 'sockets',
        audience: resource,
        accessTokenTTL: 600,
        accessTokenFormat: 'jwt',
      }),
    },
  },
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 60, Session: 600 },
  findAccount: (_: unknown, accountId: string) => ({ accountId, claims: () => ({ sub: accountId }) }),
  extraTokenClaims: (_: unknown, token: { readonly sid?: string }) => ({ sid: token.sid }),
  interactions: { url: (_: unknown, { uid }: { readonly uid: string }) => `/interaction/${uid}` },
})

/**
 * Starts a real OpenID provider (npm's `oidc-provider`) with one client. It sends logouts to the
 * gate.
 * @param gate returns the URL of the gate once it has started
 */
export async function startOpenIdProvider(t: Test, gate: () => string): Promise<OpenIdProvider> {
  const sent: { token: string; status: number }[] = []
  const server = createServer((request, response) => void serve(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(issuer, await configurationOf(issuer))
  const callback = provider.callback()

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/to-gate') return passOn(request, response)
    if (!request.url?.startsWith('/interaction/')) return callback(request, response)
    const { prompt, session } = await provider.interactionDetails(request, response)
    const accountId = String(request.headers['x-test-user'] ?? session?.accountId)
    if (prompt.name === 'login')
      return provider.interactionFinished(request, response, { login: { accountId } })
    const grant = new provider.Grant({ accountId, clientId })
    grant.addOIDCScope('openid')
    grant.addResourceScope(resource, 'sockets')
    const consent = { grantId: await grant.save() }
    return provider.interactionFinished(request, response, { consent })
  }

  /** The provider's requests to the gate pass through here, so that a test can see them. */
  async function passOn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { status } = await fetch(`${gate()}/backchannel-logout`, {
      method: 'POST',
      headers: { 'content-type': String(request.headers['content-type']) },
      body,
    })
    sent.push({ token: new URLSearchParams(body).get('logout_token') ?? '', status })
    response.writeHead(status).end()
  }

  return { issuer, sent, logIn: user => logIn(issuer, user) }
}

/** Follows the provider's redirects with cookies, up to a foreign address. */
class Browser {
  readonly #cookies = new Map<string, string>()
  readonly #issuer: string
  readonly #user: string

  constructor(issuer: string, user: string) {
    this.#issuer = issuer
    this.#user = user
  }

  async open(url: string, form?: URLSearchParams): Promise<{ readonly url: string; readonly text: string }> {
    const response = await fetch(url, {
      method: form === undefined ? 'GET' : 'POST',
      redirect: 'manual',
      headers: {
        cookie: [...this.#cookies].map(pair => pair.join('=')).join('; '),
        'x-test-user': this.#user,
      },
      ...(form === undefined ? {} : { body: form }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (line.split(';')[0] ?? '').split(/=(.*)/s)
      if (value === '') this.#cookies.delete(name)
      else this.#cookies.set(name, value)
    }
    const text = await response.text()
    const location = response.headers.get('location')
    if (location === null) {
      if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`)
      return { url, text }
    }
    const next = new URL(location, url).href
    return next.startsWith(this.#issuer) ? this.open(next) : { url: next, text: '' }
  }
}

async function logIn(issuer: string, user: string): Promise<Login> {
  const browser = new Browser(issuer, user)
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    scope: 'openid sockets',
    redirect_uri: redirectUri,
    resource,
    nonce: randomBytes(8).toString('hex'),
    code_challenge_method: 'S256',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  })
  const { url } = await browser.open(`${issuer}/auth?${query}`)
  const code = new URL(url).searchParams.get('code')
  if (code === null) throw new Error(`no code: ${url}`)
  const reply = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: clientId,
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
      resource,
    }),
  })
  const tokens = (await reply.json()) as { readonly access_token: string; readonly id_token: string }
  return {
    accessToken: tokens.access_token,
    idToken: tokens.id_token,
    async logOut() {
      const { text } = await browser.open(`${issuer}/session/end?id_token_hint=${tokens.id_token}`)
      const xsrf = /name="xsrf" value="(\w+)"/.exec(text)?.[1] ?? ''
      await browser.open(`${issuer}/session/end/confirm`, new URLSearchParams({ xsrf, logout: 'yes' }))
    },
  }
}
