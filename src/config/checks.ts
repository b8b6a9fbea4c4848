import { createPublicKey } from 'node:crypto'
import { readAssertionKey } from './assertion-key.js'
import { certificateFault } from './certificate.js'
import type { IdentityConfig } from './issuers.js'
import { type Property, schema, type Values, variableOf } from './schema.js'
import type { GivenMap } from './sources.js'
import { readTicketKeys, ticketKeyEntries } from './ticket-keys.js'
import { unixPathOf } from './unix-path.js'
import {
  InvalidValue,
  isLoopback,
  isWeak,
  readFile,
  readText,
  reportInvalid,
  withoutNewline,
} from './value-types.js'

/**
 * Checks that involve several options, or files that they name. Each adds its problems to the list.
 */

export function checkTls(given: GivenMap, values: Values, problems: string[]): void {
  const { tlsCertFile, tlsKeyFile } = values
  checkPair(given, ['tlsCertFile', 'tlsKeyFile'], problems)
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return
  const fault = certificateFault(readFile(tlsCertFile), readFile(tlsKeyFile))
  if (fault !== undefined)
    problems.push(`${given.get('tlsCertFile')?.label}: ${tlsCertFile} and ${tlsKeyFile}: ${fault}`)
}

/** Two options that only work together. */
function checkPair(given: GivenMap, [one, other]: readonly [Property, Property], problems: string[]): void {
  for (const [present, missing] of [
    [one, other],
    [other, one],
  ] as const) {
    const label = given.get(present)?.label
    if (label !== undefined && !given.has(missing))
      problems.push(`${variableOf(missing)}: is required with ${label}: set both, or neither`)
  }
}

const wildcards: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/**
 * Two listeners of one process can share a port unnoticed (SO_REUSEPORT). Public requests would
 * reach the admin listener.
 */
export function checkPorts({ host, port, adminHost, adminPort }: Values, problems: string[]): void {
  if (unixPathOf(host) !== undefined && host === adminHost)
    problems.push('TICKETGATE_ADMIN_HOST: the public listener has this socket: give one of them another path')
  if (unixPathOf(host) !== undefined || unixPathOf(adminHost) !== undefined) return
  const overlap = host === adminHost || wildcards.has(host) || wildcards.has(adminHost)
  if (port === adminPort && port !== 0 && overlap)
    problems.push(
      `TICKETGATE_ADMIN_PORT: the public listener uses port ${port} too: give one of them another port`,
    )
}

export function checkAdminKey(
  given: GivenMap,
  { adminHost, adminKey }: Values,
  production: boolean,
  problems: string[],
): void {
  if (production && adminKey !== undefined && isWeak(adminKey))
    reportWeak(given.get('adminKey')?.label ?? 'TICKETGATE_ADMIN_KEY', schema.adminKey.makeOne, problems)
  if (given.has('adminKeyPrevious') && !given.has('adminKey'))
    problems.push(
      `${given.get('adminKeyPrevious')?.label}: there is no current key: set TICKETGATE_ADMIN_KEY, or unset this`,
    )
  if (given.has('adminKey') || given.has('adminKeyFile') || (!production && isLoopback(adminHost))) return
  const where = production ? 'in production' : `if the admin listener is not on loopback (${adminHost})`
  problems.push(`TICKETGATE_ADMIN_KEY: is required ${where}. Generate one: ${schema.adminKey.makeOne}`)
}

export function checkTokenTtl(given: GivenMap, values: Values, problems: string[]): void {
  const { tokenTtlSeconds, tokenMaxTtlSeconds } = values
  if (tokenTtlSeconds !== undefined && tokenTtlSeconds > tokenMaxTtlSeconds)
    problems.push(
      `${given.get('tokenTtlSeconds')?.label}: ${tokenTtlSeconds} is out of range: give at most ${tokenMaxTtlSeconds} (TICKETGATE_TOKEN_MAX_TTL_SECONDS), or raise that`,
    )
}

const reportWeak = (label: string, makeOne: string, problems: string[]): void => {
  problems.push(`${label}: the secret is weak: it has too few different characters. Generate one: ${makeOne}`)
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
        `TICKETGATE_TICKET_KEYS: is required with ${given.get('replay')?.label} redis: all gates sign with its first key. Generate one: ${schema.ticketKeys.makeOne}`,
      )
    return
  }
  if (!given.has('node') && !isStored)
    problems.push(
      `TICKETGATE_NODE: is required with ${label}: two gates with one key would each accept a ticket once, so a ticket names its gate. Name this one`,
    )
  try {
    readTicketKeys({ ...values, jwtSecret })
  } catch (error) {
    reportInvalid(error, label, problems, { makeOne: schema.ticketKeys.makeOne })
  }
}

/** With one key for both, who can check assertions could sign what the gate accepts, or the reverse. */
export function checkAssertionKey(
  given: GivenMap,
  values: Values,
  identity: Pick<IdentityConfig, 'issuers' | 'jwtSecret' | 'jwtSecretPrevious'>,
  problems: string[],
): void {
  const { tunnelAssertionKeyFile: file } = values
  if (file === undefined) return
  const { label } = given.get('tunnelAssertionKeyFile') ?? {}
  try {
    const other = otherUseOf(file, values, identity)
    if (other !== undefined) problems.push(`${label}: is ${other}: give another one`)
  } catch (error) {
    // A file that cannot be read is reported where it belongs.
    if (!(error instanceof InvalidValue) || problems.length === 0) throw error
  }
}

function otherUseOf(
  file: string,
  values: Values,
  {
    issuers,
    jwtSecret,
    jwtSecretPrevious,
  }: Pick<IdentityConfig, 'issuers' | 'jwtSecret' | 'jwtSecretPrevious'>,
): string | undefined {
  const secret = withoutNewline(readText(file))
  if (secret === jwtSecret) return 'the token secret, so the upstream servers could issue tokens'
  if (secret === jwtSecretPrevious) return 'the previous token secret'
  if (secret === values.adminKey || secret === values.adminKeyPrevious) return 'the admin key'
  const decoded = Buffer.from(secret, 'base64url').toString('base64url')
  for (const entry of ticketKeyEntries(values)) {
    const key = entry.slice(entry.indexOf(':') + 1)
    if ([secret, decoded, Buffer.from(secret).toString('base64url')].includes(key)) return 'a ticket key'
  }
  for (const { keys } of issuers) {
    if (keys.from === 'secrets' && keys.files.some(each => withoutNewline(readText(each)) === secret))
      return 'the secret of an issuer'
    if (keys.from === 'publicKeys' && keys.files.some(each => isPublicKeyOf(file, each)))
      return 'the key of an issuer'
  }
  return undefined
}

/** Whether one file has the public key to the private key in another. */
function isPublicKeyOf(privateFile: string, publicFile: string): boolean {
  const { algorithm, key } = readAssertionKey(privateFile)
  if (algorithm !== 'ES256') return false
  return createPublicKey(key).equals(createPublicKey(readText(publicFile)))
}

export function checkRedis(given: GivenMap, { replay, redisUrl }: Values, problems: string[]): void {
  checkPair(given, ['redisCertFile', 'redisKeyFile'], problems)
  for (const file of ['redisCaFile', 'redisCertFile'] as const)
    if (given.has(file) && redisUrl?.isTls !== true)
      problems.push(
        `${given.get(file)?.label}: requires TLS: start TICKETGATE_REDIS_URL with rediss:// or rediss+sentinel://`,
      )
  if (replay === 'redis' && !given.has('redisUrl'))
    problems.push(
      `TICKETGATE_REDIS_URL: is required with ${given.get('replay')?.label} redis: say where it is`,
    )
}

export function checkThreads(given: GivenMap, { threads, replay, host }: Values, problems: string[]): void {
  if (threads > 1 && unixPathOf(host) !== undefined)
    problems.push(
      `${given.get('host')?.label}: a Unix socket is served by one thread: set TICKETGATE_THREADS=1, or give an address`,
    )
  if (threads > 1 && replay === 'memory')
    problems.push(
      `${given.get('replay')?.label}: each of ${threads} threads would have its own memory and accept a ticket once: use shared, or one thread`,
    )
}
