import { createRequire } from 'node:module'
import { isJsonObject } from '../protocol.js'
import type { Algorithm } from '../token/algorithms.js'
import type { ClaimPath } from '../token/claim-path.js'
import type { LogoutPolicy } from '../token/issuer.js'
import { type IssuerName, nameText } from '../token/issuer-name.js'
import type { RightsRule } from '../token/rights-rules.js'
import type { TicketClaim } from '../token/ticket-claims.js'
import { type IssuerEntry, type IssuerFieldName, issuerFields } from './issuer-fields.js'
import { readSecretFile } from './secret-file.js'
import { InvalidPart, InvalidValue, isLoopbackUrl, isWeak, readFile } from './value-types.js'

/** Where the keys of an issuer come from. */
export type KeysConfig =
  | ({ readonly from: 'jwks'; readonly url: string } & FetchConfig)
  | ({ readonly from: 'discovery'; readonly issuer: string } & FetchConfig)
  | { readonly from: 'secrets'; readonly files: readonly string[] }
  | { readonly from: 'publicKeys'; readonly files: readonly string[] }

export interface FetchConfig {
  readonly caFile: string | undefined
  readonly allowHttp: boolean
}

/** An accepted issuer, with all its settings. Plain data, which threads can share. */
export interface IssuerConfig {
  /** Undefined for a single provider in development: any `iss` is accepted. */
  readonly name: IssuerName | undefined
  readonly keys: KeysConfig
  readonly algorithms: readonly Algorithm[] | undefined
  readonly audiences: readonly string[]
  readonly audienceClaim: ClaimPath
  readonly userClaim: ClaimPath
  readonly sessionClaim: ClaimPath
  readonly skewSeconds: number
  readonly maxTtlSeconds: number
  readonly requireTyp: string | undefined
  /** Undefined: the default rights apply. */
  readonly rights: readonly RightsRule[] | undefined
  readonly ticketClaims: readonly TicketClaim[]
  /** Undefined: its logout tokens are not accepted. */
  readonly logout: LogoutPolicy | undefined
}

/** Accepted issuers, and who may log in here. The result of several options. */
export interface IdentityConfig {
  /** Identity providers and other issuers whose tokens are accepted. */
  readonly issuers: readonly IssuerConfig[]
  readonly login: 'on' | 'off'
  /** The secret that signs tokens of our own logins. */
  readonly jwtSecret: string
  /** Whether the operator gave `jwtSecret`. Otherwise it was generated. */
  readonly jwtSecretGiven: boolean
  readonly jwtSecretPrevious: string | undefined
}

/** Defaults of entries, and the settings that they are checked against. */
export interface IssuerDefaults {
  readonly production: boolean
  readonly skewSeconds: number
  readonly maxTtlSeconds: number
  /** The `iss` of tokens of our own logins. Undefined if there are no logins. */
  readonly own: { readonly issuer: string | undefined } | undefined
}

const maxIssuers = 64

/**
 * Reads the issuers file, YAML or JSON: a list of entries, or an object with the list as `issuers`.
 * @throws InvalidValue with all problems, one per line, each with its path in the file
 */
export function readIssuersFile(file: string, defaults: IssuerDefaults): readonly IssuerConfig[] {
  const entries = entriesOf(parseYaml(readFile(file).toString('utf8'), file), file)
  const problems: string[] = []
  const issuers = entries.flatMap((entry, index) => {
    const report = (message: string, field = ''): void => {
      problems.push(`issuers[${index}]${field && `.${field}`} ${message}`)
    }
    const fields = readFields(entry, report)
    return fields === undefined ? [] : (completed(fields, defaults, report) ?? [])
  })
  checkNames(issuers, defaults, problems)
  if (problems.length > 0)
    throw new InvalidValue(problems.map(problem => `in ${file}: ${problem}`).join('\n'))
  return issuers
}

type Report = (message: string, field?: string) => void

/** Loads the parser on demand: most gates have no issuers file. */
function parseYaml(text: string, file: string): unknown {
  const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml')
  try {
    return parse(text)
  } catch (error) {
    throw new InvalidValue(
      `${file} is neither YAML nor JSON: ${error instanceof Error ? error.message.split('\n')[0] : ''}`,
    )
  }
}

function entriesOf(value: unknown, file: string): readonly unknown[] {
  const list = isJsonObject(value) && Object.keys(value).join() === 'issuers' ? value.issuers : value
  if (!Array.isArray(list) || list.length === 0)
    throw new InvalidValue(`${file} has no list of issuers: write a list of entries, or issuers: with one`)
  if (list.length > maxIssuers) throw new InvalidValue(`${file} has more than ${maxIssuers} issuers`)
  return list
}

/** Reads each field. Returns undefined if any is wrong, after reporting it. */
function readFields(entry: unknown, report: Report): IssuerEntry | undefined {
  if (!isJsonObject(entry)) {
    report('is not an object: write fields such as issuer and jwksUrl')
    return undefined
  }
  let isRight = true
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(entry)) {
    try {
      if (!isFieldName(name)) throw new InvalidValue(`is unknown: expected one of ${fieldNames.join(', ')}`)
      fields[name] = issuerFields[name].parse(value)
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error
      report(error.message, error instanceof InvalidPart ? name + error.path : name)
      isRight = false
    }
  }
  return isRight ? fields : undefined
}

const fieldNames = Object.keys(issuerFields)
const isFieldName = (name: string): name is IssuerFieldName => Object.hasOwn(issuerFields, name)

/**
 * Completes an entry with the defaults. Returns undefined if its fields contradict each other,
 * after reporting it.
 */
function completed(entry: IssuerEntry, defaults: IssuerDefaults, report: Report): IssuerConfig | undefined {
  try {
    const name = nameOf(entry)
    const keys = keysOf(entry, name)
    checkSecrets(keys, defaults)
    checkAlgorithms(entry.algorithms, keys)
    if (defaults.production && keys.from !== 'secrets' && entry.audiences === undefined)
      throw new InvalidValue(
        'has no audiences, which are required in production: the issuer signs tokens for other applications too',
      )
    return {
      name,
      keys,
      algorithms: entry.algorithms,
      audiences: entry.audiences ?? [],
      audienceClaim: entry.audienceClaim ?? 'aud',
      userClaim: entry.userClaim ?? 'sub',
      sessionClaim: entry.sessionClaim ?? 'sid',
      skewSeconds: entry.skewSeconds ?? defaults.skewSeconds,
      maxTtlSeconds: entry.maxTtlSeconds ?? defaults.maxTtlSeconds,
      requireTyp: entry.requireTyp,
      rights: entry.rights,
      ticketClaims: entry.ticketClaims ?? [],
      logout: logoutOf(entry),
    }
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    report(error.message)
    return undefined
  }
}

function logoutOf({
  audiences,
  backchannelLogout: ends,
  logoutAudiences = audiences,
}: IssuerEntry): LogoutPolicy | undefined {
  if (ends === undefined) return undefined
  if (logoutAudiences === undefined)
    throw new InvalidValue(
      'has backchannelLogout, but no logoutAudiences: write the client ids that its logout tokens name as aud',
    )
  return { audiences: logoutAudiences, ends }
}

function nameOf({ issuer, issuerPattern }: IssuerEntry): IssuerName {
  if (issuer !== undefined && issuerPattern === undefined) return { exactly: issuer }
  if (issuer === undefined && issuerPattern !== undefined) return { pattern: issuerPattern }
  throw new InvalidValue('must have exactly one of issuer and issuerPattern')
}

function keysOf(entry: IssuerEntry, name: IssuerName): KeysConfig {
  const { jwksUrl, discover, secretFile, publicKeyFile, caFile, allowHttp = false } = entry
  const given = [jwksUrl, discover || undefined, secretFile, publicKeyFile].filter(each => each !== undefined)
  if (given.length !== 1)
    throw new InvalidValue('must have exactly one of jwksUrl, discover: true, secretFile and publicKeyFile')
  const isFetched = jwksUrl !== undefined || discover === true
  if (!isFetched && (caFile !== undefined || allowHttp))
    throw new InvalidValue('has caFile or allowHttp, but its keys are not fetched: leave them out')
  if (secretFile !== undefined) return { from: 'secrets', files: secretFile }
  if (publicKeyFile !== undefined) return { from: 'publicKeys', files: publicKeyFile }
  if (jwksUrl !== undefined) {
    checkUrl(jwksUrl, allowHttp, 'jwksUrl')
    return { from: 'jwks', url: jwksUrl, caFile, allowHttp }
  }
  if ('pattern' in name)
    throw new InvalidValue('has issuerPattern and discover: write jwksUrl, since tenants have one each')
  checkUrl(name.exactly, allowHttp, 'issuer')
  return { from: 'discovery', issuer: name.exactly, caFile, allowHttp }
}

/**
 * Checks a URL that keys are fetched from. An attacker who can change keys on the way can sign
 * tokens for anybody.
 * @throws InvalidValue
 */
export function checkUrl(text: string, allowHttp: boolean, field: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.username !== '' ||
    url.password !== '' ||
    url.hash !== ''
  )
    throw new InvalidValue(
      `has ${field}, which is not an https URL without user, password and fragment: write one such as https://id.example.com/jwks.json`,
    )
  if (url.protocol === 'http:' && !allowHttp && !isLoopbackUrl(url))
    throw new InvalidValue(
      `has ${field} without TLS: write an https URL, or allowHttp: true if only you can write to the network`,
    )
}

function checkSecrets(keys: KeysConfig, { production }: IssuerDefaults): void {
  if (keys.from !== 'secrets') return
  for (const file of keys.files)
    if (isWeak(readSecretFile(file)) && production)
      throw new InvalidValue(
        `has secretFile: the secret in ${file} is weak: it has too few different characters`,
      )
}

function checkAlgorithms(algorithms: IssuerEntry['algorithms'], { from }: KeysConfig): void {
  const foreign = algorithms?.find(name => name.startsWith('HS') !== (from === 'secrets'))
  if (foreign === undefined) return
  const right = from === 'secrets' ? 'HS256, HS384 or HS512' : 'RS, PS or ES with 256, 384 or 512, or Ed25519'
  throw new InvalidValue(`has algorithms with ${foreign}, for which it has no keys: use ${right}`)
}

/** A token is checked by the issuer that it names, so names must be unique. */
function checkNames(issuers: readonly IssuerConfig[], { own }: IssuerDefaults, problems: string[]): void {
  const seen = new Set(own?.issuer === undefined ? [] : [own.issuer])
  for (const { name } of issuers) {
    const text = name === undefined ? '' : nameText(name)
    if (seen.has(text))
      problems.push(
        `issuer ${JSON.stringify(text)} occurs twice, or is that of our own logins (TICKETGATE_JWT_ISSUER)`,
      )
    seen.add(text)
  }
}
