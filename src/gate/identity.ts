import type { Config } from '../config/schema.js'
import { openIssuers } from '../providers/issuers.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { LoginTokens } from '../token/login-token.js'
import type { TokenVerifier } from '../token/verifier.js'
import { openUserStore, type UserStore } from '../users/store.js'

/** Where tokens come from: our own login, or an identity provider, never both. */
export interface Identity {
  readonly tokens: TokenVerifier
  /** Our own login, where there is one. */
  readonly login: { readonly users: UserStore; readonly tokens: LoginTokens } | undefined
  /** Whether tokens can be verified now. */
  readonly isReady: () => boolean
  close(): void
}

/**
 * Opens the user file, or fetches the keys of the identity provider.
 * @throws StartupError `users_file_invalid`
 */
export async function openIdentity(
  config: Config,
  log: Log,
  counters: Pick<Counters, 'keyFetches'>,
): Promise<Identity> {
  const login = config.jwksUrl === undefined ? await openLogin(config, log) : undefined
  const issuers = await openIssuers(config, { log, counters })
  return { tokens: issuers.tokens, login, isReady: issuers.hasKeys, close: issuers.close }
}

async function openLogin(config: Config, log: Log): Promise<Identity['login']> {
  const users = await openUserStore(config.usersFile, {
    onError: error => log.error({ err: error }, 'the user file is broken; the users read before stay'),
  })
  const { jwtSecret: secret, jwtIssuer: issuer, jwtAudience: audience, tokenTtlSeconds: ttlSeconds } = config
  return { users, tokens: new LoginTokens({ secret, issuer, audience, ttlSeconds }) }
}
