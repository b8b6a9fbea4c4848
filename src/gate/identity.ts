import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import { openProviderKeys } from '../providers/provider-keys.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { createTokenIssuer, createTokenVerifier, type TokenIssuer } from '../token/jwt.js'
import { createProviderTokenVerifier } from '../token/provider.js'
import type { TokenVerifier } from '../token/verifier.js'
import { openUserStore, type UserStore } from '../users/store.js'

/** Where tokens come from: our own login, or an identity provider, never both. */
export interface Identity {
  readonly tokens: TokenVerifier
  /** Our own login, where there is one. */
  readonly login: { readonly users: UserStore; readonly tokens: TokenIssuer } | undefined
  /** Whether tokens can be verified now. */
  readonly isReady: () => boolean
  close(): void
}

/**
 * Opens the user file, or fetches the keys of the identity provider.
 * @throws StartupError `users_file_invalid`
 */
export function openIdentity(
  config: Config,
  log: Log,
  counters: Pick<Counters, 'keyFetches'>,
): Promise<Identity> {
  return config.jwksUrl === undefined
    ? openOwn(config, log)
    : openProvider(config, config.jwksUrl, log, counters)
}

async function openOwn(config: Config, log: Log): Promise<Identity> {
  const users = await openUserStore(config.usersFile, {
    onError: error => log.error({ err: error }, 'the user file is broken; the users read before stay'),
  })
  return {
    tokens: createTokenVerifier({
      ...policyOf(config),
      secret: config.jwtSecret,
      aheadSeconds: nodesAheadSeconds(config),
    }),
    login: {
      users,
      tokens: createTokenIssuer({
        secret: config.jwtSecret,
        issuer: config.jwtIssuer,
        audience: config.jwtAudience,
        ttlSeconds: config.tokenTtlSeconds,
      }),
    },
    isReady: () => true,
    close() {},
  }
}

async function openProvider(
  config: Config,
  url: string,
  log: Log,
  counters: Pick<Counters, 'keyFetches'>,
): Promise<Identity> {
  const keys = await openProviderKeys(url, { log, counters })
  return {
    tokens: createProviderTokenVerifier(keys, {
      ...policyOf(config),
      skewSeconds: config.clockSkewSeconds,
    }),
    login: undefined,
    isReady: () => keys.current() !== undefined,
    close: keys.close,
  }
}

const policyOf = ({ jwtIssuer, jwtAudience, tokenMaxTtlSeconds }: Config) => ({
  issuer: jwtIssuer,
  audience: jwtAudience,
  maxTtlSeconds: tokenMaxTtlSeconds,
})
