import { asStartupError } from '../config/at-start.js'
import { issuerDefaults } from '../config/identity.js'
import { type IssuerConfig, readIssuersFile } from '../config/issuers.js'
import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import { readSecretFile, strongEnough } from '../config/secret-file.js'
import { longestTokenSeconds } from '../config/token-life.js'
import { InvalidValue } from '../config/value-types.js'
import { lookAt, watchFiles } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import type { Counters } from '../telemetry/metrics.js'
import { defaultRightsOf } from '../token/default-rights.js'
import { IssuerClock, type TrustedIssuer } from '../token/issuer.js'
import { chooseByName } from '../token/issuer-table.js'
import { secretIssuers } from '../token/login-token.js'
import { LogoutTokenVerifier } from '../token/logout-token.js'
import { RightsRules } from '../token/rights-rules.js'
import type { DefaultRights } from '../token/token-rights.js'
import { type IssuerChooser, TokenVerifier } from '../token/verifier.js'
import { algorithmsOf, identityOf, nameOf, type OpenKeys, openIssuerKeys } from './key-sources.js'

interface OpenIssuer {
  readonly config: IssuerConfig
  readonly keys: OpenKeys
}

/** The secrets that sign and verify our own tokens. */
export interface TokenSecrets {
  readonly current: string
  readonly previous: string | undefined
}

export interface IssuersOptions {
  readonly log: Log
  readonly counters: Pick<Counters, 'keyFetches'>
}

/**
 * The accepted issuers: identity providers, other configured issuers, and our own logins. Their
 * files are reread when they change and on SIGHUP. A broken file changes nothing and is logged.
 */
export class Issuers {
  readonly tokens: TokenVerifier
  readonly logoutTokens: LogoutTokenVerifier
  readonly #config: Config
  readonly #options: IssuersOptions
  /** By the identity of the keys. */
  #open: ReadonlyMap<string, OpenIssuer> = new Map()
  #secrets: TokenSecrets
  #watch = (): void => {}
  #reloading = Promise.resolve()
  #isClosed = false

  private constructor(config: Config, options: IssuersOptions) {
    this.#config = config
    this.#options = options
    this.#secrets = { current: config.jwtSecret, previous: config.jwtSecretPrevious }
    const chooser = this.#chooser()
    this.tokens = new TokenVerifier(chooser, config.maxTokenBytes)
    this.logoutTokens = new LogoutTokenVerifier(chooser, config.maxTokenBytes)
  }

  /**
   * Reads the files as they are now, which may be long after the configuration was read. Resolves
   * after the first fetch of all keys, whatever its outcome.
   * @throws StartupError `config_invalid` for a broken file
   */
  static async open(config: Config, options: IssuersOptions): Promise<Issuers> {
    const issuers = new Issuers(config, options)
    try {
      await issuers.#read()
      return issuers
    } catch (error) {
      throw asStartupError(error)
    }
  }

  /** The current secrets. */
  get secrets(): TokenSecrets {
    return this.#secrets
  }

  /** Whether logout tokens of any issuer are accepted. */
  get acceptLogouts(): boolean {
    return [...this.#open.values()].some(({ config }) => config.logout !== undefined)
  }

  /** The issuers whose keys have not been fetched since the start. */
  withoutKeys(): readonly string[] {
    return [...this.#open.values()]
      .filter(({ keys }) => keys.source.current() === undefined)
      .map(({ config }) => nameOf(config))
  }

  close(): void {
    this.#isClosed = true
    this.#watch()
    for (const { keys } of this.#open.values()) keys.close()
  }

  #chooser(): IssuerChooser {
    const { jwtAudience, jwtIssuer, tokenMaxTtlSeconds, clockSkewSeconds, login } = this.#config
    const { current, previous } = this.#secrets
    const open = [...this.#open.values()]
    const own = secretIssuers({
      secrets: previous === undefined ? [current] : [current, previous],
      policy: {
        issuer: jwtIssuer === undefined ? undefined : { exactly: jwtIssuer },
        audiences: jwtAudience === undefined ? [] : [jwtAudience],
        maxTtlSeconds: tokenMaxTtlSeconds,
        skewSeconds: clockSkewSeconds,
      },
      nodesAheadSeconds: nodesAheadSeconds(this.#config),
    })
    const [single] = open
    if (single === undefined) return own
    if (login === 'off' && open.length === 1) {
      const issuer = this.#trusted(single)
      return () => issuer
    }
    const named = open.flatMap(each =>
      each.config.name === undefined ? [] : [{ name: each.config.name, issuer: this.#trusted(each) }],
    )
    return chooseByName(named, login === 'on' ? { name: jwtIssuer, issuerOf: own } : undefined)
  }

  #trusted({ config, keys }: OpenIssuer): TrustedIssuer {
    const {
      name,
      audiences,
      audienceClaim,
      userClaim,
      sessionClaim,
      skewSeconds,
      maxTtlSeconds,
      requireTyp,
      rights,
      ticketClaims,
      logout,
    } = config
    return {
      keys: keys.source,
      algorithms: algorithmsOf(config),
      policy: {
        issuer: name,
        audiences,
        audienceClaim,
        userClaim,
        sessionClaim,
        requireTyp,
        ticketClaims,
        maxTtlSeconds,
        skewSeconds,
        graceSeconds: skewSeconds,
        rightsRules: rights && new RightsRules(rights),
        defaultRights: this.#defaultRights(),
      },
      clock: IssuerClock.skewed(skewSeconds),
      logout,
    }
  }

  #defaultRights(): DefaultRights {
    return defaultRightsOf(this.#config.defaultPublish, this.#config.defaultSubscribe)
  }

  /** Reloads one after another: a change during a reload is handled after it. */
  #reload(): void {
    this.#reloading = this.#reloading.then(() => this.#readAgain())
  }

  async #readAgain(): Promise<void> {
    const { log } = this.#options
    if (this.#isClosed) return
    try {
      const issuers = await this.#read()
      if (issuers !== undefined) log.info({ issuers }, 'issuers and token secrets reloaded')
    } catch (error) {
      log.error(
        { err: error },
        'the files of issuers or token secrets are broken: the previous ones stay in use',
      )
    }
  }

  /**
   * Reads all files and puts them into effect, or throws and changes nothing. Returns the names of
   * the issuers. Undefined if this was closed in the meantime.
   * @throws InvalidValue
   */
  async #read(): Promise<readonly string[] | undefined> {
    // Looked at before they are read: fetching keys takes its time, and no change may be missed.
    const since = lookAt(this.#ownFiles)
    const configs = this.#readConfigs()
    const keyFiles = keyFilesOf(configs)
    const files = [...this.#ownFiles, ...keyFiles]
    const allSince = [...since, ...lookAt(keyFiles)]
    checkLives(configs, this.#config)
    const secrets = this.#readSecrets()
    const before = this.#open
    const after = await openAll(configs, before, this.#options)
    if (this.#isClosed) {
      closeAll(after, before)
      return undefined
    }
    this.#open = after
    this.#secrets = secrets
    const chooser = this.#chooser()
    this.tokens.trust(chooser)
    this.logoutTokens.trust(chooser)
    closeAll(before, after)
    this.#watch()
    this.#watch = files.length === 0 ? () => {} : watchFiles(files, () => this.#reload(), allSince)
    return configs.map(nameOf)
  }

  get #ownFiles(): readonly string[] {
    const { issuersFile, jwtSecretFile, jwtSecretPreviousFile } = this.#config
    return [issuersFile, jwtSecretFile, jwtSecretPreviousFile].filter(file => file !== undefined)
  }

  #readConfigs(): readonly IssuerConfig[] {
    const { issuers, issuersFile } = this.#config
    return issuersFile === undefined ? issuers : readIssuersFile(issuersFile, issuerDefaults(this.#config))
  }

  #readSecrets(): TokenSecrets {
    const { jwtSecretFile, jwtSecretPreviousFile } = this.#config
    const { current, previous } = this.#secrets
    const read = (file: string): string => strongEnough(this.#config, readSecretFile(file), file)
    return {
      current: jwtSecretFile === undefined ? current : read(jwtSecretFile),
      previous: jwtSecretPreviousFile === undefined ? previous : read(jwtSecretPreviousFile),
    }
  }
}

const keyFilesOf = (issuers: readonly IssuerConfig[]): readonly string[] =>
  issuers
    .flatMap(({ keys }): readonly (string | undefined)[] => ('files' in keys ? keys.files : [keys.caFile]))
    .filter(file => file !== undefined)

/**
 * Revocations are kept for the longest token lifetime that was possible at the start.
 * @throws InvalidValue if an issuer that was added later allows longer lifetimes
 */
function checkLives(issuers: readonly IssuerConfig[], config: Config): void {
  if (longestTokenSeconds({ ...config, issuers }) > longestTokenSeconds(config))
    throw new InvalidValue(
      'an issuer has a larger maxTtlSeconds than any had at the start: restart, so that revocations are kept long enough',
    )
}

/** Opens the keys of all issuers, except those that are open already. */
async function openAll(
  configs: readonly IssuerConfig[],
  open: ReadonlyMap<string, OpenIssuer>,
  options: IssuersOptions,
): Promise<ReadonlyMap<string, OpenIssuer>> {
  const entries = await Promise.all(
    configs.map(async (config): Promise<readonly [string, OpenIssuer]> => {
      const identity = `${nameOf(config)} ${identityOf(config)}`
      const keys = open.get(identity)?.keys ?? (await openIssuerKeys(config, options))
      return [identity, { config, keys }]
    }),
  )
  return new Map(entries)
}

/** Closes the issuers that are not in `kept`. */
function closeAll(open: ReadonlyMap<string, OpenIssuer>, kept: ReadonlyMap<string, OpenIssuer>): void {
  for (const [identity, { keys }] of open) if (!kept.has(identity)) keys.close()
}

/** Describes, for the log at the start, what a token without the claim `channels` permits. */
export function describeDefaultRights({ issuers, login, defaultPublish, defaultSubscribe }: Config): string {
  const rights = (patterns: readonly string[]): string =>
    patterns.length === 0 ? 'nothing' : patterns.join(' ')
  const byRules = 'what the rules of their issuer give'
  const byDefault = `may publish on ${rights(defaultPublish)} and subscribe to ${rights(defaultSubscribe)} (TICKETGATE_DEFAULT_PUBLISH, TICKETGATE_DEFAULT_SUBSCRIBE)`
  const isRuled = ({ rights }: IssuerConfig): boolean => rights !== undefined
  const ofIssuers = issuers.every(isRuled)
    ? `may do ${byRules}`
    : issuers.some(isRuled)
      ? `${byDefault}, or do ${byRules}`
      : byDefault
  const everything = 'may publish and subscribe on every channel'
  if (issuers.length === 0) return `tokens without a channels claim ${everything}`
  return login === 'on'
    ? `tokens without a channels claim ${ofIssuers}; those of logins here ${everything}`
    : `tokens without a channels claim ${ofIssuers}`
}
