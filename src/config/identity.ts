import { randomBytes } from 'node:crypto'
import { proxyVariables } from './egress-proxy.js'
import { type IdentityConfig, type IssuerConfig, type KeysConfig, readIssuersFile } from './issuers.js'
import { type Property, schema, type Values, variableOf } from './schema.js'
import { readSecretFile } from './secret-file.js'
import type { GivenMap } from './sources.js'
import { InvalidValue, isWeak, reportInvalid } from './value-types.js'

interface IdentitySources {
  readonly given: GivenMap
  readonly values: Values
  readonly env: Readonly<Record<string, string | undefined>>
  readonly production: boolean
  readonly problems: string[]
}

/** Adds its problems to the list. Reads the files that hold secrets and issuers. */
export function resolveIdentity(sources: IdentitySources): IdentityConfig {
  const { given, values, problems } = sources
  const isElsewhere = given.has('issuersFile') || given.has('jwksUrl') || given.has('oidcIssuer')
  const login = values.login ?? (isElsewhere ? 'off' : 'on')
  const issuers = resolveIssuers(sources, login)
  if (login === 'off' && !isElsewhere)
    problems.push(
      `${given.get('login')?.label}: off, and there is no other issuer, so nobody could log in: set TICKETGATE_OIDC_ISSUER, TICKETGATE_JWKS_URL or TICKETGATE_ISSUERS_FILE`,
    )
  checkEgressProxy(sources, issuers)
  const secret = readSecret(sources, 'jwtSecret', 'jwtSecretFile', login === 'on')
  return {
    issuers,
    login,
    jwtSecret: secret ?? randomBytes(48).toString('base64'),
    jwtSecretGiven: secret !== undefined,
    jwtSecretPrevious: readSecret(sources, 'jwtSecretPrevious', 'jwtSecretPreviousFile', false),
  }
}

const issuerOptions = ['issuersFile', 'oidcIssuer', 'jwksUrl'] as const

function resolveIssuers(sources: IdentitySources, login: 'on' | 'off'): readonly IssuerConfig[] {
  const { given, values, problems } = sources
  const set = issuerOptions.filter(option => given.has(option))
  const [first, second] = set
  if (first === undefined) return []
  if (second !== undefined) {
    const labels = set.map(option => given.get(option)?.label)
    problems.push(`${labels[0]}: ${labels.slice(1).join(' and ')} set as well: put all issuers into the file`)
    return []
  }
  if (first !== 'issuersFile') return singleIssuer(sources, first, login)
  if (values.issuersFile === undefined) return []
  try {
    return readIssuersFile(
      values.issuersFile,
      issuerDefaults({ ...values, production: sources.production, login }),
    )
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error
    for (const line of error.message.split('\n')) problems.push(`${given.get('issuersFile')?.label}: ${line}`)
    return []
  }
}

/** Defaults for entries of the issuers file. */
export const issuerDefaults = (
  config: Pick<Values, 'clockSkewSeconds' | 'tokenMaxTtlSeconds' | 'jwtIssuer'> & {
    readonly production: boolean
    readonly login: 'on' | 'off'
  },
) => ({
  production: config.production,
  skewSeconds: config.clockSkewSeconds,
  maxTtlSeconds: config.tokenMaxTtlSeconds,
  own: config.login === 'on' ? { issuer: config.jwtIssuer } : undefined,
})

/** The variables of a single provider are read as an issuers file with one entry. */
function singleIssuer(
  { given, values, production, problems }: IdentitySources,
  option: 'oidcIssuer' | 'jwksUrl',
  login: 'on' | 'off',
): readonly IssuerConfig[] {
  const { oidcIssuer, jwtIssuer, jwtAudience } = values
  const name = option === 'jwksUrl' ? jwtIssuer : oidcIssuer
  const keys = singleKeys(values)
  if (keys === undefined) return []
  const label = given.get(option)?.label ?? ''
  if (login === 'on' && option === 'jwksUrl')
    problems.push(
      `${given.get('login')?.label}: on beside ${label}: TICKETGATE_JWT_ISSUER cannot name both. Use TICKETGATE_OIDC_ISSUER or TICKETGATE_ISSUERS_FILE`,
    )
  const required: readonly (readonly [Property, string])[] =
    option === 'jwksUrl'
      ? [
          ['jwtIssuer', 'iss'],
          ['jwtAudience', 'aud'],
        ]
      : [['jwtAudience', 'aud']]
  // A provider signs tokens for many applications: without its name and ours, tokens for any other
  // application would be accepted.
  for (const [property, claim] of required)
    if (production && !given.has(property))
      problems.push(
        `${variableOf(property)}: is required in production with ${label}: set it to what the provider's tokens have as ${claim}`,
      )
  return [
    {
      name: name === undefined ? undefined : { exactly: name },
      keys,
      algorithms: undefined,
      audiences: jwtAudience === undefined ? [] : [jwtAudience],
      audienceClaim: 'aud',
      userClaim: 'sub',
      sessionClaim: 'sid',
      skewSeconds: values.clockSkewSeconds,
      maxTtlSeconds: values.tokenMaxTtlSeconds,
      requireTyp: undefined,
      rights: undefined,
      ticketClaims: [],
      logout: undefined,
    },
  ]
}

/** Undefined if the value of the option is invalid, which has been reported already. */
function singleKeys({ jwksUrl, oidcIssuer }: Values): KeysConfig | undefined {
  const fetched = { caFile: undefined, allowHttp: false }
  if (jwksUrl !== undefined) return { from: 'jwks', url: jwksUrl, ...fetched }
  return oidcIssuer === undefined ? undefined : { from: 'discovery', issuer: oidcIssuer, ...fetched }
}

/** A token secret, from its option or its file. */
function readSecret(
  { given, values, production, problems }: IdentitySources,
  direct: 'jwtSecret' | 'jwtSecretPrevious',
  inFile: 'jwtSecretFile' | 'jwtSecretPreviousFile',
  isRequired: boolean,
): string | undefined {
  const { makeOne } = schema.jwtSecret
  const file = given.get(inFile)
  const path = values[inFile]
  const label = file?.label ?? variableOf(direct)
  let secret = values[direct]
  if (file !== undefined && path !== undefined) {
    try {
      secret = readSecretFile(path)
    } catch (error) {
      reportInvalid(error, label, problems)
    }
  } else if (production && isRequired && !given.has(direct))
    problems.push(`TICKETGATE_JWT_SECRET: is required in production. Generate one: ${makeOne}`)
  if (production && secret !== undefined && isWeak(secret))
    problems.push(
      `${label}: the secret is weak: it has too few different characters. Generate one: ${makeOne}`,
    )
  return secret
}

/**
 * Keys are fetched through the proxy that these variables name. Without this check, an invalid
 * value would fail much later.
 */
function checkEgressProxy({ env, problems }: IdentitySources, issuers: readonly IssuerConfig[]): void {
  if (!issuers.some(({ keys }) => keys.from === 'jwks' || keys.from === 'discovery')) return
  for (const name of proxyVariables) {
    const value = env[name] ?? ''
    const url = URL.canParse(value) ? new URL(value) : undefined
    if (value !== '' && !/^https?:$/.test(url?.protocol ?? ''))
      problems.push(`${name}: is not an http or https URL: write http://proxy.example.com:3128, or unset it`)
  }
}
