import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { type Algorithm, algorithmNames } from '../token/algorithms.js'
import { defaultRightsOf } from '../token/default-rights.js'
import { IssuerClock } from '../token/issuer.js'
import { secretIssuers } from '../token/login-token.js'
import { TokenVerifier } from '../token/verifier.js'
import { ProviderKeys } from './provider-keys.js'

/** Whose tokens are accepted. */
export interface Issuers {
  readonly tokens: TokenVerifier
  /** Whether tokens can be verified: the keys of an identity provider have been fetched. */
  hasKeys(): boolean
  close(): void
}

const publicKeyAlgorithms: readonly Algorithm[] = algorithmNames.filter(name => !name.startsWith('HS'))

/** Accepts tokens of the identity provider if there is one, otherwise those signed with our secret: never both. */
export async function openIssuers(
  config: Config,
  parts: { readonly log: Log; readonly counters: Pick<Counters, 'keyFetches'> },
): Promise<Issuers> {
  const skewSeconds = config.clockSkewSeconds
  const policy = {
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    maxTtlSeconds: config.tokenMaxTtlSeconds,
    skewSeconds,
  }
  if (config.jwksUrl === undefined) {
    const issuerOf = secretIssuers({
      secrets: [config.jwtSecret],
      policy,
      nodesAheadSeconds: nodesAheadSeconds(config),
    })
    return { tokens: new TokenVerifier(issuerOf, config.maxTokenBytes), hasKeys: () => true, close() {} }
  }
  const keys = await ProviderKeys.open(config.jwksUrl, parts)
  const issuer = {
    keys,
    algorithms: publicKeyAlgorithms,
    policy: {
      ...policy,
      graceSeconds: skewSeconds,
      defaultRights: defaultRightsOf(config.defaultPublish, config.defaultSubscribe),
    },
    clock: IssuerClock.skewed(skewSeconds),
  }
  return {
    tokens: new TokenVerifier(() => issuer, config.maxTokenBytes),
    hasKeys: () => keys.current() !== undefined,
    close: () => keys.close(),
  }
}

/** One line for the start of the log: what a token without the claim `channels` permits. */
export function describeDefaultRights({ jwksUrl, defaultPublish, defaultSubscribe }: Config): string {
  const rights = (patterns: readonly string[]): string =>
    patterns.length === 0 ? 'nothing' : patterns.join(' ')
  return jwksUrl === undefined
    ? 'tokens without the claim channels may publish and subscribe on every channel'
    : `tokens without the claim channels may publish on ${rights(defaultPublish)} and subscribe to ${rights(defaultSubscribe)} (TICKETGATE_DEFAULT_PUBLISH, TICKETGATE_DEFAULT_SUBSCRIBE)`
}
