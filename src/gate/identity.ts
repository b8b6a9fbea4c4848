import type { Config } from '../config/schema.js'
import { Issuers } from '../providers/issuers.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { LoginTokens } from '../token/login-token.js'
import { openUserStore, type UserStore } from '../users/store.js'

/** The accepted issuers: our own logins, identity providers, or both. */
export interface Identity {
  readonly issuers: Issuers
  /** Our own logins, if they are enabled. */
  readonly login: { readonly users: UserStore; readonly tokens: LoginTokens } | undefined
}

/**
 * Opens the user file, and fetches the keys of identity providers.
 * @throws StartupError `users_file_invalid`
 */
export async function openIdentity(
  config: Config,
  log: Log,
  counters: Pick<Counters, 'keyFetches'>,
): Promise<Identity> {
  const users = config.login === 'on' ? await openUsers(config, log) : undefined
  const issuers = await Issuers.open(config, { log, counters })
  if (users === undefined) return { issuers, login: undefined }
  const { jwtIssuer: issuer, jwtAudience: audience, tokenTtlSeconds: ttlSeconds } = config
  const secret = (): string => issuers.secrets.current
  return { issuers, login: { users, tokens: new LoginTokens({ secret, issuer, audience, ttlSeconds }) } }
}

const openUsers = (config: Config, log: Log): Promise<UserStore> =>
  openUserStore(config.usersFile, {
    onError: error => log.error({ err: error }, 'the user file is broken: the previous users stay in use'),
  })
