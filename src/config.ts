import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { parseArgs } from 'node:util'
import {
  addressBits,
  bearerKey,
  choice,
  host,
  integer,
  isLoopback,
  isWeak,
  jwksUrl,
  type Kind,
  line,
  list,
  nearest,
  network,
  nodeName,
  type OptionRow,
  origin,
  path,
  publicUrl,
  rate,
  readableFile,
  readFile,
  redisUrl,
  renderHelp,
  renderTable,
  signingSecret,
  ticketKeysText,
  Unfit,
} from './config-text.js'
import { StartupError } from './errors.js'
import { maxUnidentified } from './ops/caps.js'
import { connectionsWithin, descriptorLimit } from './ops/descriptors.js'
import type { TicketKey } from './ticket/key-ring.js'
import { parseTicketKeys } from './ticket/key-text.js'

interface Definition {
  readonly kind: Kind<unknown>
  readonly meaning: string
  /** The default, as an operator would write it. */
  readonly default?: string
  /** Says in words what `resolveConfig` works out when nothing is given. */
  readonly computed?: string
  /** Not taken from the command line, since arguments are visible in process lists. */
  readonly secret?: true
  /** The command that mends a missing or unfit value. */
  readonly mending?: string
  /** A second variable, which counts where the first is not set. */
  readonly alias?: string
}

const port = integer(0, 65_535)
const cap = integer(0, 16_000_000, 'connections')
const bytes = (max: number): Kind<number> => integer(1024, max, 'bytes')

/**
 * Every option, once. The name of a property gives the variable (`TICKETGATE_TICKET_TTL_SECONDS`) and the flag
 * (`--ticket-ttl-seconds`). An option with neither `default` nor `computed` is undefined when it is not given.
 */
const schema = {
  host: { kind: host, default: '127.0.0.1', meaning: 'Where the public listener listens' },
  port: {
    kind: port,
    default: '8080',
    alias: 'PORT',
    meaning: 'Port of the public listener; 0 takes any free one. PORT counts where this is not set',
  },
  stateDir: { kind: path, default: '.ticketgate', meaning: 'Directory of what is kept: users, revocations' },
  console: {
    kind: choice('on', 'off'),
    computed: 'on in development, off in production',
    meaning: 'The page at / that walks through the flow, and its figures',
  },
  tlsCertFile: { kind: readableFile, meaning: 'TLS certificate chain of the public listener, PEM' },
  tlsKeyFile: { kind: readableFile, meaning: 'Private key of that certificate, PEM, without passphrase' },
  adminHost: { kind: host, default: '127.0.0.1', meaning: 'Where the admin listener listens' },
  adminPort: { kind: port, default: '8081', meaning: 'Port of the admin listener; 0 takes any free one' },
  adminKey: {
    kind: bearerKey,
    secret: true,
    mending: 'export TICKETGATE_ADMIN_KEY="$(openssl rand -hex 24)"',
    meaning: 'Bearer token of the admin listener. Demanded in production, and off loopback',
  },
  publicUrl: {
    kind: publicUrl,
    meaning:
      'Where browsers reach this server; the url in a ticket reply is built on it. Without it: the Host header',
  },
  jwtSecret: {
    kind: signingSecret,
    secret: true,
    mending: 'export TICKETGATE_JWT_SECRET="$(openssl rand -base64 48)"',
    computed: 'random per start in development; demanded in production',
    meaning: 'Secret that signs tokens (HS256)',
  },
  jwtSecretFile: {
    kind: path,
    meaning: 'File that holds that secret instead; a newline at its end does not count',
  },
  jwksUrl: {
    kind: jwksUrl,
    meaning:
      'Keys of an identity provider (a JWK set). Its tokens are then the only good ones: no login here, no token secret',
  },
  jwtIssuer: {
    kind: line,
    meaning:
      'Put into tokens as iss, and demanded of tokens presented. Demanded in production with an identity provider',
  },
  jwtAudience: {
    kind: line,
    meaning:
      'Put into tokens as aud, and demanded of tokens presented. Demanded in production with an identity provider',
  },
  tokenTtlSeconds: {
    kind: integer(1, 31_536_000, 'seconds'),
    computed: '900, or the longest allowed if that is less',
    meaning: 'Lifetime of a token issued here',
  },
  tokenMaxTtlSeconds: {
    kind: integer(1, 31_536_000, 'seconds'),
    default: '86400',
    meaning: 'Longest lifetime that a token may have, whoever issued it',
  },
  ticketKeys: {
    kind: ticketKeysText,
    secret: true,
    mending: 'ticketgate key new',
    meaning:
      'Keys of outside minters, by id; this server signs its own tickets with a key of its own, or with the first of these where the replay cache is in Redis',
  },
  ticketKeysFile: {
    kind: path,
    meaning: 'File that holds those keys instead; read again when it changes, and on SIGHUP',
  },
  node: {
    kind: nodeName,
    meaning:
      'Name of this gate, which its tickets carry. Demanded with ticket keys, unless the replay cache is in Redis',
  },
  clockSkewSeconds: {
    kind: integer(0, 300, 'seconds'),
    default: '5',
    meaning: 'How far the clocks of outside minters and of an identity provider may be off',
  },
  ticketTtlSeconds: { kind: integer(1, 3600, 'seconds'), default: '10', meaning: 'Lifetime of a ticket' },
  origins: {
    kind: list('origins, as https://example.com', origin),
    default: '',
    meaning: 'Origins that may connect. Without a list: the same origin and, in development, localhost',
  },
  bind: {
    kind: list('origin, address', choice('origin', 'address').parse),
    default: '',
    meaning: 'What a ticket is tied to beyond its channel',
  },
  bindAddressBits: {
    kind: addressBits,
    default: '32,64',
    meaning: 'How much of an address a ticket is tied to',
  },
  trustedProxies: {
    kind: list('CIDRs or addresses', network),
    default: '',
    meaning: 'Proxies whose X-Forwarded-For, -Proto and -Host count',
  },
  usersFile: {
    kind: path,
    computed: 'users.json in the state directory',
    meaning: 'The users and their hashes',
  },
  replay: {
    kind: choice('memory', 'shared', 'redis'),
    computed: 'memory; shared with more than one thread',
    meaning:
      'Where spent tickets are remembered: by one thread, by all threads of the process, or in Redis, for all gates',
  },
  replayCapacity: {
    kind: integer(100, 16_000_000, 'tickets'),
    default: '1000000',
    meaning:
      'How many spent tickets are remembered at once; at least ticket rate × ticket lifetime. Redis has its own limit',
  },
  redisUrl: {
    kind: redisUrl,
    secret: true,
    meaning:
      'Redis or Valkey: carries messages between gates, and what was spent where the replay cache is there',
  },
  threads: {
    kind: integer(1, 64, 'threads'),
    default: '1',
    meaning:
      'Threads that serve the public port; more than one use the shared replay cache, or that in Redis',
  },
  maxConnections: {
    kind: cap,
    computed: 'what the file-descriptor limit allows',
    meaning: 'Sockets open at once; 0 sets no cap',
  },
  maxConnectionsPerUser: { kind: cap, default: '0', meaning: 'Sockets of one user; 0 sets no cap' },
  maxConnectionsPerAddress: { kind: cap, default: '0', meaning: 'Sockets from one address; 0 sets no cap' },
  messageRate: { kind: rate, default: '100/1', meaning: 'Messages from one socket' },
  loginRate: { kind: rate, default: '10/60', meaning: 'Logins from one address' },
  ticketRate: { kind: rate, default: '60/60', meaning: 'Tickets for one user' },
  maxMessageBytes: { kind: bytes(16_777_216), default: '16384', meaning: 'Largest message from a client' },
  maxBackpressureBytes: {
    kind: bytes(1_073_741_824),
    computed: '65536, or the largest message if that is more',
    meaning: 'What may wait for a slow reader before it is dropped',
  },
  compression: {
    kind: choice('off', 'shared', 'dedicated'),
    default: 'off',
    meaning:
      'permessage-deflate: shared costs no memory and packs each message by itself; dedicated 4 KB a socket and packs better. Each subscriber costs the work anew',
  },
  firstMessageSeconds: {
    kind: integer(0, 60, 'seconds'),
    default: '0',
    meaning:
      'First-message auth: how long a socket without a ticket may stay silent before it says who it is; 0 = off: no such sockets',
  },
  verify: {
    kind: choice('on', 'off'),
    default: 'off',
    meaning: 'Whether /verify accepts tickets for another WebSocket server, when a proxy asks',
  },
  drainSeconds: {
    kind: integer(1, 3600, 'seconds'),
    default: '30',
    meaning: 'Time from SIGTERM to exit, in which sockets are closed in batches',
  },
  logLevel: {
    kind: choice('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
    default: 'info',
    meaning: 'The least severe level that is logged',
  },
} as const satisfies Readonly<Record<string, Definition>>

type Schema = typeof schema
type Property = keyof Schema
type Parsed<P extends Property> = Schema[P]['kind'] extends Kind<infer T> ? T : never
type HasDefault<P extends Property> = Schema[P] extends { readonly default: string } ? true : false
type IsComputed<P extends Property> = Schema[P] extends { readonly computed: string } ? true : false

/** What was given, or else the default. */
type Values = { readonly [P in Property]: HasDefault<P> extends true ? Parsed<P> : Parsed<P> | undefined }

type Resolved = {
  readonly [P in Exclude<Property, 'jwtSecretFile'>]: IsComputed<P> extends true ? Parsed<P> : Values[P]
}

/** Every option, resolved. Rates are undefined when off; a cap of 0 is none. */
export interface Config extends Resolved {
  /** `NODE_ENV` is `production`. */
  readonly production: boolean
}

type Textual<T> = T extends string ? T : T | string

/**
 * Options as `createGate` takes them. Each may also be text, as in the environment: `origins: ['https://a.example']` or
 * `'https://a.example'`, `loginRate: { count: 10, seconds: 60 }`, `'10/60'` or `'off'`.
 */
export type GateOptions = { readonly [P in Property]?: Textual<NonNullable<Parsed<P>>> | undefined }

export interface ConfigSources {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly flags?: readonly string[]
  readonly options?: GateOptions
}

const properties = Object.keys(schema) as Property[]
const definition = (property: Property): Definition => schema[property]

const prefix = 'TICKETGATE_'
const upperSnake = (name: string): string => name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()
const variableOf = (property: string): string => prefix + upperSnake(property)
const flagOf = (property: string): string => `--${upperSnake(property).toLowerCase().replaceAll('_', '-')}`

const byVariable = new Map(properties.map(property => [variableOf(property), property]))
const byFlag = new Map(properties.map(property => [flagOf(property), property]))

/** The property whose name in upper snake case is most like `name`. */
function nearestProperty(name: string): Property {
  const variable = prefix + nearest(name, properties.map(upperSnake))
  return byVariable.get(variable) ?? 'host'
}

/** One value as the operator wrote it, and the name it was written under. */
interface Given {
  readonly label: string
  readonly value: unknown
}

type GivenMap = Map<Property, Given>

/** What Kubernetes puts into every pod beside a service named ticketgate or ticketgate-… */
const isServiceLink = (name: string, value: string): boolean =>
  /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)/.test(name) || /^(tcp|udp|sctp):\/\//.test(value)

// What each source gives, and the problems of its names. Values are never part of these messages: an unknown name may
// be a misspelt secret.
function givenByEnv(env: ConfigSources['env'], problems: string[]): GivenMap {
  const given: GivenMap = new Map()
  const serviceLinks: string[] = []
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(prefix) || value === undefined || value === '') continue
    const property = byVariable.get(name)
    if (isServiceLink(name, value)) serviceLinks.push(name)
    else if (property !== undefined) given.set(property, { label: name, value })
    else {
      const near = variableOf(nearestProperty(name.slice(prefix.length)))
      problems.push(`${name}: there is no such variable: unset it, or write ${near} if that is what is meant`)
    }
  }
  if (serviceLinks.length > 0)
    problems.push(
      `${serviceLinks.join(', ')}: Kubernetes set this for a service: put enableServiceLinks: false into the pod's spec, or rename the service`,
    )
  for (const property of properties) {
    const { alias } = definition(property)
    const value = alias === undefined ? undefined : env[alias]
    if (alias !== undefined && value && !given.has(property)) given.set(property, { label: alias, value })
  }
  return given
}

function givenByFlags(flags: readonly string[], problems: string[]): GivenMap {
  const given: GivenMap = new Map()
  const options = Object.fromEntries(
    properties.map(property => [flagOf(property).slice(2), { type: 'string' as const }]),
  )
  const { tokens } = parseArgs({ args: [...flags], options, strict: false, tokens: true })
  // `-p80` comes as one token a letter: the first will do.
  const first = tokens.filter((token, index) => token.index !== tokens[index - 1]?.index)
  for (const token of first) {
    if (token.kind === 'option-terminator') continue
    if (token.kind === 'positional') {
      problems.push(`argument ${token.index + 1}: is no flag: write --name value or --name=value`)
      continue
    }
    const label = token.rawName
    const property = byFlag.get(label)
    if (property === undefined) {
      const near = nearestProperty(upperSnake(token.name).replaceAll('-', '_'))
      const right = definition(near).secret ? `set ${variableOf(near)}` : `write ${flagOf(near)}`
      problems.push(`${label}: there is no such flag: ${right} if that is what is meant`)
    } else if (definition(property).secret)
      problems.push(
        `${label}: arguments are visible to every user of this machine: set ${variableOf(property)} instead`,
      )
    else if (token.value === undefined || (token.value.startsWith('-') && !token.inlineValue))
      problems.push(`${label}: has no value: write ${label}=VALUE`)
    else if (given.has(property)) problems.push(`${label}: is given more than once: leave one`)
    else if (token.value !== '') given.set(property, { label, value: token.value })
  }
  return given
}

function givenByOptions(options: Readonly<Record<string, unknown>>, problems: string[]): GivenMap {
  const given: GivenMap = new Map()
  for (const [name, value] of Object.entries(options)) {
    const property = properties.find(each => each === name)
    if (property === undefined)
      problems.push(
        `${name}: there is no such option: write ${nearestProperty(upperSnake(name))} if that is what is meant`,
      )
    else if (value !== undefined && value !== '') given.set(property, { label: name, value })
  }
  return given
}

/** Two names for one setting: the nearer source wins, but one source must not give both. */
function settleSecret(
  property: Property,
  fileProperty: Property,
  sources: readonly GivenMap[],
  problems: string[],
): void {
  const [first, ...others] = sources.filter(each => each.has(property) || each.has(fileProperty))
  const direct = first?.get(property)
  const file = first?.get(fileProperty)
  if (direct !== undefined && file !== undefined)
    problems.push(`${direct.label}: ${file.label} is set as well: unset one of them`)
  for (const other of others) {
    other.delete(property)
    other.delete(fileProperty)
  }
}

/** Keeps what does not fit as a problem of the option; any other error is a fault of ours and goes on. */
function report(error: unknown, label: string, problems: string[], mending?: string): void {
  if (!(error instanceof Unfit)) throw error
  problems.push(`${label}: ${error.message}${mending === undefined ? '' : `. Make one: ${mending}`}`)
}

/** The value of one option. One that does not fit is reported, and counts as not given from there on. */
function parseOne(property: Property, given: Given | undefined, problems: string[]): unknown {
  const { kind, secret, mending, default: otherwise } = definition(property)
  if (given !== undefined) {
    try {
      const text = typeof given.value === 'string' ? given.value : kind.textOf?.(given.value)
      if (text === undefined) throw new Unfit(`is of the wrong type: give ${kind.values}`)
      return kind.parse(secret ? text : text.trim())
    } catch (error) {
      report(error, given.label, problems, mending)
    }
  }
  return otherwise === undefined ? undefined : kind.parse(otherwise)
}

const parseAll = (given: GivenMap, problems: string[]): Values => {
  const entries = properties.map(property => [property, parseOne(property, given.get(property), problems)])
  return Object.fromEntries(entries)
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

function checkTls(given: GivenMap, values: Values, problems: string[]): void {
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
function checkPorts({ host, port, adminHost, adminPort }: Values, problems: string[]): void {
  const overlap = host === adminHost || wildcards.has(host) || wildcards.has(adminHost)
  if (port === adminPort && port !== 0 && overlap)
    problems.push(
      `TICKETGATE_ADMIN_PORT: the public listener has port ${port} as well: give one of them another port`,
    )
}

function checkAdminKey(
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

function checkTokenTtl(given: GivenMap, values: Values, problems: string[]): void {
  const { tokenTtlSeconds, tokenMaxTtlSeconds } = values
  if (tokenTtlSeconds !== undefined && tokenTtlSeconds > tokenMaxTtlSeconds)
    problems.push(
      `${given.get('tokenTtlSeconds')?.label}: ${tokenTtlSeconds} is out of range: give at most ${tokenMaxTtlSeconds} (TICKETGATE_TOKEN_MAX_TTL_SECONDS), or raise that`,
    )
}

function resolveSecret(given: GivenMap, values: Values, production: boolean, problems: string[]): string {
  const file = given.get('jwtSecretFile')
  if (file !== undefined && values.jwtSecretFile !== undefined) {
    try {
      const secret = readSecret(values.jwtSecretFile)
      if (production && isWeak(secret)) reportWeak(file.label, schema.jwtSecret.mending, problems)
      return secret
    } catch (error) {
      report(error, file.label, problems)
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
function checkProvider(given: GivenMap, { jwksUrl }: Values, production: boolean, problems: string[]): void {
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

function checkTicketKeys(given: GivenMap, values: Values, jwtSecret: string, problems: string[]): void {
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
    report(error, label, problems, schema.ticketKeys.mending)
  }
}

function checkRedis(given: GivenMap, { replay }: Values, problems: string[]): void {
  if (replay === 'redis' && !given.has('redisUrl'))
    problems.push(
      `TICKETGATE_REDIS_URL: is demanded with ${given.get('replay')?.label} redis: say where it is`,
    )
}

function checkThreads(given: GivenMap, { threads, replay }: Values, problems: string[]): void {
  if (threads > 1 && replay === 'memory')
    problems.push(
      `${given.get('replay')?.label}: memory is known to one thread only, so ${threads} threads would each accept a ticket: use shared, or one thread`,
    )
}

/**
 * The configured ticket keys, from the option or, as it is now, the file; none when there are none.
 * Throws {@link Unfit} for a file or an entry that is broken.
 */
export function readTicketKeys(
  config: Pick<Config, 'ticketKeys' | 'ticketKeysFile' | 'node' | 'jwtSecret'>,
): TicketKey[] {
  const text =
    config.ticketKeysFile === undefined ? config.ticketKeys : readFile(config.ticketKeysFile).toString('utf8')
  if (text === undefined) return []
  try {
    return parseTicketKeys(text, { node: config.node ?? '', notSecret: config.jwtSecret })
  } catch (error) {
    throw error instanceof TypeError ? new Unfit(error.message) : error
  }
}

/**
 * The configuration, from all sources: options before flags before environment before defaults. An empty text counts
 * as not given. Reads the files that options name.
 *
 * @throws StartupError `config_invalid` with all problems, one a line, each with the name under which the value was
 *   given, what is wrong and how to mend it. No value of a secret is part of it.
 */
export function resolveConfig({ env, flags = [], options = {} }: ConfigSources): Config {
  const problems: string[] = []
  const sources = [
    givenByOptions(options, problems),
    givenByFlags(flags, problems),
    givenByEnv(env, problems),
  ] as const
  settleSecret('jwtSecret', 'jwtSecretFile', sources, problems)
  settleSecret('ticketKeys', 'ticketKeysFile', sources, problems)
  const [byOptions, byFlags, byEnv] = sources
  const given: GivenMap = new Map([...byEnv, ...byFlags, ...byOptions])
  const production = env.NODE_ENV === 'production'

  const all = parseAll(given, problems)
  checkTls(given, all, problems)
  checkPorts(all, problems)
  checkAdminKey(given, all, production, problems)
  checkTokenTtl(given, all, problems)
  checkProvider(given, all, production, problems)
  const jwtSecret = resolveSecret(given, all, production, problems)
  checkTicketKeys(given, all, jwtSecret, problems)
  checkRedis(given, all, problems)
  checkThreads(given, all, problems)
  if (problems.length > 0) throw new StartupError('config_invalid', problems.join('\n'))

  const { jwtSecretFile: _, ...values } = all
  return Object.freeze({
    ...values,
    production,
    jwtSecret,
    console: values.console ?? (production ? 'off' : 'on'),
    replay: values.replay ?? (values.threads > 1 ? 'shared' : 'memory'),
    tokenTtlSeconds: values.tokenTtlSeconds ?? Math.min(900, values.tokenMaxTtlSeconds),
    usersFile: values.usersFile ?? join(values.stateDir, 'users.json'),
    maxConnections:
      values.maxConnections ??
      connectionsWithin(descriptorLimit(), values.firstMessageSeconds > 0 ? maxUnidentified : 0),
    // A limit below one message is allowed: uWS compares it with what already waits, so a reader that keeps up still
    // gets every message. By default one whole message may wait.
    maxBackpressureBytes: values.maxBackpressureBytes ?? Math.max(65_536, values.maxMessageBytes),
  })
}

function rows(): OptionRow[] {
  return properties.map(property => {
    const { kind, meaning, secret, default: otherwise, computed } = definition(property)
    return {
      property,
      variable: variableOf(property),
      flag: secret ? undefined : flagOf(property),
      placeholder: kind.placeholder,
      meaning,
      defaultText: otherwise || computed || 'none',
      values: kind.values,
    }
  })
}

/** The options part of `ticketgate serve --help`, at most 100 columns wide. */
export function helpText(): string {
  const note = [
    'Options: --name value or --name=value, or the variable below each. Flags count before variables.',
    'createGate takes each option under the name of its flag in camel case: ticketTtlSeconds.',
    'Secrets have no flag, since arguments are visible to every user of the machine.',
  ]
  return `${note.join('\n')}\n\n${renderHelp(rows())}\n`
}

/** The options as a Markdown table, for the README. */
export const optionsTable = (): string => renderTable(rows())
