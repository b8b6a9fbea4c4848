import { InvalidValue, type Kind } from './value-types.js'

/** The address of a Redis, and the credentials for it. */
export interface RedisAddress {
  readonly at: RedisPlace
  readonly isTls: boolean
  readonly username: string
  readonly password: string
  /** The number of the database. */
  readonly database: number
}

export interface RedisHost {
  readonly host: string
  readonly port: number
}

/** A server, a Unix socket, or the primary that sentinels know by a name. */
export type RedisPlace =
  | RedisHost
  | { readonly path: string }
  | { readonly sentinels: readonly RedisHost[]; readonly name: string }

const forms =
  'redis://HOST:6379/0, redis+unix:///run/redis.sock or redis+sentinel://HOST:26379,HOST:26379/NAME/0'

const unknown = `is not a Redis URL: give one such as ${forms}`

const stray =
  'has an unexpected path, query or fragment: only the database number follows host and port. In a password, write / as %2F, ? as %3F and # as %23'

/**
 * Parses a Redis URL. User and password precede the host, percent-encoded.
 *
 * - `redis://HOST[:PORT][/DATABASE]`, `rediss:` with TLS
 * - `redis+unix:///PATH[?db=DATABASE]`
 * - `redis+sentinel://HOST[:PORT][,HOST[:PORT]…]/NAME[/DATABASE]`, `rediss+sentinel:` with TLS,
 *   also to the sentinels
 *
 * @throws InvalidValue without any part of the text, which may contain a password
 */
export function parseRedisUrl(text: string): RedisAddress {
  const [, scheme, credentials = '', rest = ''] = /^([a-z+]+):\/\/(?:(.*)@)?([^@]*)$/s.exec(text) ?? []
  const [username = '', password = ''] = splitOnce(credentials, ':')
  if (/[/?#]/.test(credentials)) throw new InvalidValue(stray)
  const own = { username: decoded(username), password: decoded(password) }
  if (scheme === 'redis' || scheme === 'rediss')
    return { ...own, ...serverIn(rest), isTls: scheme === 'rediss' }
  if (scheme === 'redis+unix') return { ...own, ...socketIn(rest), isTls: false }
  if (scheme === 'redis+sentinel' || scheme === 'rediss+sentinel')
    return { ...own, ...sentinelsIn(rest), isTls: scheme === 'rediss+sentinel' }
  throw new InvalidValue(unknown)
}

/** Never quoted: it may contain a password. */
export const redisUrl: Kind<RedisAddress> = {
  placeholder: 'URL',
  values: 'redis, rediss, redis+unix, redis+sentinel or rediss+sentinel URL',
  parse: parseRedisUrl,
}

function serverIn(rest: string) {
  const [authority = '', database] = splitOnce(rest, '/')
  return { at: hostIn(authority, 6379), database: databaseIn(database ?? '') }
}

function socketIn(rest: string) {
  const [path = '', query] = splitOnce(rest, '?')
  if (!path.startsWith('/') || path === '/') throw new InvalidValue(unknown)
  const [, database = ''] = /^db=(\d+)$/.exec(query ?? 'db=0') ?? []
  if (database === '') throw new InvalidValue(stray)
  return { at: { path: decoded(path) }, database: databaseIn(database) }
}

function sentinelsIn(rest: string) {
  const [authority = '', name = '', database = '', ...more] = rest.split('/')
  if (!/^[\w.-]+$/.test(name) || more.length > 0) throw new InvalidValue(unknown)
  const sentinels = authority.split(',').map(each => hostIn(each, 26379))
  return { at: { sentinels, name }, database: databaseIn(database) }
}

function hostIn(authority: string, defaultPort: number): RedisHost {
  if (!URL.canParse(`redis://${authority}`) || /[/?#@]/.test(authority)) throw new InvalidValue(unknown)
  const { hostname, port } = new URL(`redis://${authority}`)
  if (hostname === '') throw new InvalidValue(unknown)
  // In URLs, IPv6 addresses are in brackets.
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? defaultPort : Number(port) }
}

function databaseIn(text: string): number {
  if (!/^\d{0,4}$/.test(text)) throw new InvalidValue(stray)
  return Number(text)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new InvalidValue('has a % in its user or password that starts no escape sequence: write it as %25')
  }
}

/** Splits at the first `mark`. The second part is undefined without one. */
function splitOnce(text: string, mark: string): [string, string?] {
  const at = text.indexOf(mark)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + mark.length)]
}
