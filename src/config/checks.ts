import { randomBytes } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { proxyVariables } from './egress-proxy.js'
import { schema, type Values, variableOf } from './schema.js'
import type { GivenMap } from './sources.js'
import { readTicketKeys } from './ticket-keys.js'
import { isLoopback, isWeak, readFile, reportUnfit, signingSecret, Unfit } from './value-types.js'

/** What can only be judged of several options together, or of the files they name. Each adds its problems to the list. */

export function checkTls(given: GivenMap, values: Values, problems: string[]): void {
  const { tlsCertFile, tlsKeyFile } = values
  for (const [present, missing] of [
    ['tlsCertFile', 'tlsKeyFile'],
    ['tlsKeyFile', 'tlsCertFile'],
  ] as const) {
    const label = given.get(present)?.label
    if (label !== undefined && !given.has(missing))
      problems.push(`${variableOf(missing)}: is demanded beside ${label}: set both, or neither`)
  }
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return
  try {
    createSecureContext({ cert: readFile(tlsCertFile), key: readFile(tlsKeyFile) })
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown error'
    problems.push(
      `${given.get('tlsCertFile')?.label}: ${tlsCertFile} and ${tlsKeyFile} are not a certificate and its key (${reason}): give PEM files that belong together, the key without passphrase`,
    )
  }
}

const wildcards: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** Two listeners of one process can share a port unnoticed (SO_REUSEPORT), and the public would reach the admin one. */
export function checkPorts({ host, port, adminHost, adminPort }: Values, problems: string[]): void {
  const overlap = host === adminHost || wildcards.has(host) || wildcards.has(adminHost)
  if (port === adminPort && port !== 0 && overlap)
    problems.push(
      `TICKETGATE_ADMIN_PORT: the public listener has port ${port} as well: give one of them another port`,
    )
}

export function checkAdminKey(
  given: GivenMap,
  { adminHost, adminKey }: Values,
  production: boolean,
  problems: string[],
): void {
  if (production && adminKey !== undefined && isWeak(adminKey))
    reportWeak('TICKETGATE_ADMIN_KEY', schema.adminKey.mending, problems)
  if (given.has('adminKey') || (!production && isLoopback(adminHost))) return
  const where = production ? 'in production' : `where the admin listener is not on loopback (${adminHost})`
  problems.push(`TICKETGATE_ADMIN_KEY: is demanded ${where}. Make one: ${schema.adminKey.mending}`)
}

export function checkTokenTtl(given: GivenMap, values: Values, problems: string[]): void {
  const { tokenTtlSeconds, tokenMaxTtlSeconds } = values
  if (tokenTtlSeconds !== undefined && tokenTtlSeconds > tokenMaxTtlSeconds)
    problems.push(
      `${given.get('tokenTtlSeconds')?.label}: ${tokenTtlSeconds} is out of range: give at most ${tokenMaxTtlSeconds} (TICKETGATE_TOKEN_MAX_TTL_SECONDS), or raise that`,
    )
}

/** The text of the file, less one newline at its end. Bytes that are no UTF-8 would be lost, and the key weaker. */
function readSecret(file: string): string {
  const data = readFile(file)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch {
    throw new Unfit(`${file} is no UTF-8 text: put the secret there as text, such as base64`)
  }
  try {
    return signingSecret.parse(text.replace(/\r?\n$/, ''))
  } catch (error) {
    throw error instanceof Unfit
      ? new Unfit(`the secret in ${file} ${error.message}. Make one: openssl rand -base64 48 > ${file}`)
      : error
  }
}

/** The secret of tokens: as given, from its file, or made now. */
export function resolveSecret(
  given: GivenMap,
  values: Values,
  production: boolean,
  problems: string[],
): string {
  const file = given.get('jwtSecretFile')
  if (file !== undefined && values.jwtSecretFile !== undefined) {
    try {
      const secret = readSecret(values.jwtSecretFile)
      if (production && isWeak(secret)) reportWeak(file.label, schema.jwtSecret.mending, problems)
      return secret
    } catch (error) {
      reportUnfit(error, file.label, problems)
    }
  } else if (production && file === undefined && !given.has('jwtSecret') && !given.has('jwksUrl'))
    problems.push(`TICKETGATE_JWT_SECRET: is demanded in production. Make one: ${schema.jwtSecret.mending}`)
  if (production && values.jwtSecret !== undefined && isWeak(values.jwtSecret))
    reportWeak('TICKETGATE_JWT_SECRET', schema.jwtSecret.mending, problems)
  return values.jwtSecret ?? randomBytes(48).toString('base64')
}

const reportWeak = (label: string, mending: string, problems: string[]): void => {
  problems.push(`${label}: the secret is weak: it has few different characters. Make one: ${mending}`)
}

/** A provider signs tokens for many: without its name and ours in them, one for anybody else would do. */
export function checkProvider(
  given: GivenMap,
  { jwksUrl }: Values,
  production: boolean,
  problems: string[],
): void {
  const label = given.get('jwksUrl')?.label
  if (label === undefined || jwksUrl === undefined || !production) return
  for (const [property, claim] of [
    ['jwtIssuer', 'iss'],
    ['jwtAudience', 'aud'],
  ] as const)
    if (!given.has(property))
      problems.push(
        `${variableOf(property)}: is demanded in production with ${label}: set it to what the provider's tokens have as ${claim}`,
      )
}

/** The key fetch goes through the proxy that these variables name; any other form would fail much later. */
export function checkEgressProxy(
  given: GivenMap,
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): void {
  if (!given.has('jwksUrl')) return
  for (const name of proxyVariables) {
    const value = env[name] ?? ''
    const url = URL.canParse(value) ? new URL(value) : undefined
    if (value !== '' && !/^https?:$/.test(url?.protocol ?? ''))
      problems.push(`${name}: is not an http or https URL: write http://proxy.example.com:3128, or unset it`)
  }
}

export function checkTicketKeys(
  given: GivenMap,
  values: Values,
  jwtSecret: string,
  problems: string[],
): void {
  const label = (given.get('ticketKeys') ?? given.get('ticketKeysFile'))?.label
  const isStored = values.replay === 'redis'
  if (label === undefined) {
    if (isStored)
      problems.push(
        `TICKETGATE_TICKET_KEYS: is demanded with ${given.get('replay')?.label} redis: all gates sign with its first key. Make one: ${schema.ticketKeys.mending}`,
      )
    return
  }
  if (!given.has('node') && !isStored)
    problems.push(
      `TICKETGATE_NODE: is demanded with ${label}: two gates with one key would each accept a ticket once, so a ticket names its gate. Name this one`,
    )
  try {
    readTicketKeys({ ...values, jwtSecret })
  } catch (error) {
    reportUnfit(error, label, problems, schema.ticketKeys.mending)
  }
}

export function checkRedis(given: GivenMap, { replay }: Values, problems: string[]): void {
  if (replay === 'redis' && !given.has('redisUrl'))
    problems.push(
      `TICKETGATE_REDIS_URL: is demanded with ${given.get('replay')?.label} redis: say where it is`,
    )
}

export function checkThreads(given: GivenMap, { threads, replay }: Values, problems: string[]): void {
  if (threads > 1 && replay === 'memory')
    problems.push(
      `${given.get('replay')?.label}: memory is known to one thread only, so ${threads} threads would each accept a ticket: use shared, or one thread`,
    )
}
