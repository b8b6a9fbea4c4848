// config/: every option, defined once: name, type, default and check. It opens only the files that
// options name.

import { assertionKeyFile } from './assertion-key.js'
import type { IdentityConfig } from './issuers.js'
import { redisUrl } from './redis-url.js'
import { clientField, tunnels } from './tunnels.js'
import {
  addressBits,
  bearerKey,
  choice,
  host,
  integer,
  issuerUrl,
  jwksUrl,
  type Kind,
  line,
  list,
  network,
  nodeName,
  origin,
  path,
  patternTemplate,
  publicUrl,
  rate,
  readableFile,
  signingSecret,
  ticketKeysText,
} from './value-types.js'

export interface Definition {
  readonly kind: Kind<unknown>
  readonly meaning: string
  /** The default, as an operator would write it. */
  readonly default?: string
  /** The default in development, if it differs. */
  readonly inDevelopment?: string
  /** Describes the default that `resolveConfig` computes. */
  readonly computed?: string
  /** No flag: arguments are visible in process lists. */
  readonly secret?: true
  /** The command that generates a suitable value. */
  readonly makeOne?: string
  /** A second variable, used if the first is not set. */
  readonly alias?: string
}

const port = integer(0, 65_535)
const cap = integer(0, 16_000_000, 'connections')
const bytes = (max: number): Kind<number> => integer(1024, max, 'bytes')

/**
 * Every option. The name of a property gives the variable (`TICKETGATE_TICKET_TTL_SECONDS`) and the
 * flag (`--ticket-ttl-seconds`). An option with neither `default` nor `computed` is undefined if it
 * is not given.
 */
export const schema = {
  host: {
    kind: host,
    default: '127.0.0.1',
    meaning: 'Address of the public listener, or the path of its Unix socket',
  },
  port: {
    kind: port,
    default: '8080',
    alias: 'PORT',
    meaning: 'Port of the public listener; 0 takes any free port. PORT is used if this is not set',
  },
  stateDir: {
    kind: path,
    default: '.ticketgate',
    meaning: 'Directory for users, revocations and, for outside minters, the clock mark',
  },
  console: {
    kind: choice('on', 'off'),
    default: 'off',
    inDevelopment: 'on',
    meaning: 'The console: a page at / that walks through the flow and shows live figures',
  },
  tlsCertFile: {
    kind: readableFile,
    meaning: 'TLS certificate chain of the public listener, PEM; reread when it changes, and on SIGHUP',
  },
  tlsKeyFile: { kind: readableFile, meaning: 'Private key of that certificate, PEM, without passphrase' },
  adminHost: {
    kind: host,
    default: '127.0.0.1',
    meaning: 'Address of the admin listener, or the path of its Unix socket',
  },
  adminPort: { kind: port, default: '8081', meaning: 'Port of the admin listener; 0 takes any free port' },
  adminKey: {
    kind: bearerKey,
    secret: true,
    makeOne: 'export TICKETGATE_ADMIN_KEY="$(openssl rand -hex 24)"',
    meaning:
      'Bearer token of the admin listener. Required off loopback and in production, where a key with too few different characters is refused',
  },
  adminKeyFile: { kind: path, meaning: 'File with that key; reread when it changes, and on SIGHUP' },
  adminKeyPrevious: {
    kind: bearerKey,
    secret: true,
    meaning: 'The previous admin key: accepted as well, while callers change to the current one',
  },
  adminKeyPreviousFile: { kind: path, meaning: 'File with the previous admin key' },
  publicUrl: {
    kind: publicUrl,
    meaning:
      'URL at which browsers reach this server; the url in a ticket reply starts with it. Without it: the Host header in development, none in production',
  },
  jwtSecret: {
    kind: signingSecret,
    secret: true,
    makeOne: 'export TICKETGATE_JWT_SECRET="$(openssl rand -base64 48)"',
    computed:
      'in development generated at the first start and kept in the state directory; required in production',
    meaning: 'Secret that signs tokens (HS256); production refuses one with too few different characters',
  },
  jwtSecretFile: {
    kind: path,
    meaning: 'File with that secret; a trailing newline is ignored',
  },
  jwtSecretPrevious: {
    kind: signingSecret,
    secret: true,
    meaning: 'The previous secret: its tokens are accepted until they expire',
  },
  jwtSecretPreviousFile: { kind: path, meaning: 'File with the previous secret' },
  login: {
    kind: choice('on', 'off'),
    computed: 'on; off with an identity provider',
    meaning: 'Whether users of the user file can log in, at /auth',
  },
  oidcIssuer: {
    kind: issuerUrl,
    meaning: 'Identity provider, by its name (iss); OpenID Connect Discovery finds its keys',
  },
  jwksUrl: {
    kind: jwksUrl,
    meaning: 'Keys (JWK set) of an identity provider without discovery',
  },
  issuersFile: {
    kind: path,
    meaning: 'File with several identity providers and other issuers, YAML or JSON; reread when it changes',
  },
  jwtIssuer: {
    kind: line,
    meaning:
      'The iss of our own tokens, which tokens must have. With TICKETGATE_JWKS_URL, the iss of the provider, required in production',
  },
  jwtAudience: {
    kind: line,
    meaning:
      'The aud of our own tokens, which tokens must have. Required in production with an identity provider',
  },
  defaultPublish: {
    kind: list('channel patterns, as chat.* or user.${user}', patternTemplate),
    default: '',
    meaning:
      'With an identity provider: where the user of a token without a channels claim may publish, unless there are rules for its issuer. ${user} stands for the user, if the name is a channel name',
  },
  defaultSubscribe: {
    kind: list('channel patterns, as chat.* or user.${user}', patternTemplate),
    default: '',
    meaning: 'The same for subscribing',
  },
  tokenTtlSeconds: {
    kind: integer(1, 31_536_000, 'seconds'),
    computed: '900, or the longest allowed if that is less',
    meaning: 'Lifetime of a token issued here',
  },
  tokenMaxTtlSeconds: {
    kind: integer(1, 31_536_000, 'seconds'),
    default: '86400',
    meaning: 'Longest lifetime of a token of any issuer',
  },
  maxTokenBytes: {
    kind: integer(1024, 65_536, 'bytes'),
    default: '16384',
    meaning: 'Largest token, in the Authorization header or in the body of a ticket request',
  },
  ticketKeys: {
    kind: ticketKeysText,
    secret: true,
    makeOne: 'npx --no-install ticketgate key new',
    meaning:
      'Keys of outside minters, by id. The server signs its own tickets with a key of its own, or with the first of these if the replay cache is in Redis',
  },
  ticketKeysFile: {
    kind: path,
    meaning: 'File with those keys; reread when it changes, and on SIGHUP',
  },
  node: {
    kind: nodeName,
    meaning:
      'Name of this gate, carried in its tickets. Required with ticket keys, unless the replay cache is in Redis',
  },
  clockSkewSeconds: {
    kind: integer(0, 300, 'seconds'),
    default: '5',
    meaning:
      'How far the clocks of outside minters and other token issuers may be off, and, for tickets, those of nodes on one Redis',
  },
  ticketTtlSeconds: { kind: integer(1, 3600, 'seconds'), default: '10', meaning: 'Lifetime of a ticket' },
  origins: {
    kind: list('origins, as https://example.com', origin),
    default: '',
    meaning:
      'Origins that may connect, including those of apps and browser extensions, such as capacitor://localhost. Without a list: the same origin and, in development, localhost',
  },
  originsFile: {
    kind: path,
    meaning: 'File with those origins, one per line; reread when it changes, and on SIGHUP',
  },
  bind: {
    kind: list('origin, address', choice('origin', 'address').parse),
    default: '',
    meaning: 'What a ticket is bound to, besides its channel',
  },
  bindAddressBits: {
    kind: addressBits,
    default: '32,64',
    meaning: 'How many bits of the address a ticket is bound to',
  },
  trustedProxies: {
    kind: list('CIDRs or addresses', network),
    default: '',
    meaning:
      'Proxies whose X-Forwarded-For, -Proto and -Host headers and PROXY protocol (version 2) are trusted',
  },
  usersFile: {
    kind: path,
    computed: 'users.json in the state directory',
    meaning: 'File with the users and their password hashes',
  },
  replay: {
    kind: choice('memory', 'shared', 'redis'),
    computed: 'shared; memory for one thread with ticket keys',
    meaning:
      'Where spent tickets are remembered: in memory that all threads share, in the memory of one thread, or in Redis for all gates',
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
    meaning: 'Redis or Valkey: carries messages between gates, and holds the replay cache if that is redis',
  },
  redisUrlFile: { kind: path, meaning: 'File with that URL, which has a password' },
  redisCaFile: {
    kind: readableFile,
    meaning: 'CA certificates for Redis over TLS, PEM, instead of the well-known ones',
  },
  redisCertFile: { kind: readableFile, meaning: 'Client certificate for Redis over TLS, PEM' },
  redisKeyFile: { kind: readableFile, meaning: 'Private key of that certificate, PEM, without passphrase' },
  redisEviction: {
    kind: choice('checked', 'trusted'),
    default: 'checked',
    meaning:
      'checked: Redis must report that it evicts nothing (maxmemory-policy noeviction). trusted: you vouch for that if it does not report it',
  },
  threads: {
    kind: integer(1, 64, 'threads'),
    default: '1',
    meaning: 'Threads that serve the public port. More than one require the replay cache shared or redis',
  },
  maxConnections: {
    kind: cap,
    computed: 'what the file-descriptor limit allows',
    meaning: 'Open sockets; 0 = no cap',
  },
  maxConnectionsPerUser: { kind: cap, default: '0', meaning: 'Open sockets of one user; 0 = no cap' },
  maxConnectionsPerAddress: { kind: cap, default: '0', meaning: 'Open sockets from one address; 0 = no cap' },
  messageRate: {
    kind: rate,
    default: '100/1',
    meaning: 'Messages from one socket; the burst is twice the count',
  },
  loginRate: {
    kind: rate,
    default: '10/60',
    inDevelopment: '600/60',
    meaning: 'Logins from one address; the burst is the count. A successful one counts a tenth',
  },
  loginFailureRate: {
    kind: rate,
    default: '20/1200',
    inDevelopment: '600/60',
    meaning:
      'Failed logins of one user: from each address that it has logged in from before, and from all others together; the burst is the count. Off if the login rate is off and this is not given',
  },
  ticketRate: { kind: rate, default: '60/60', meaning: 'Tickets for one user; the burst is the count' },
  maxMessageBytes: { kind: bytes(16_777_216), default: '16384', meaning: 'Largest message from a client' },
  maxBackpressureBytes: {
    kind: bytes(1_073_741_824),
    computed: '65536, or the largest message if that is larger',
    meaning: 'How much may wait for a slow reader before the socket is closed',
  },
  compression: {
    kind: choice('off', 'shared', 'dedicated'),
    default: 'off',
    meaning:
      'permessage-deflate: shared takes no memory and compresses each message by itself; dedicated takes 4 KB per socket and compresses better. Each message is compressed once per subscriber',
  },
  firstMessageSeconds: {
    kind: integer(0, 60, 'seconds'),
    default: '0',
    meaning:
      'First-message auth: how long a socket without a ticket may take to authenticate; 0 = off, no such sockets',
  },
  verify: {
    kind: choice('on', 'off'),
    default: 'off',
    meaning: 'Whether /verify accepts tickets for another WebSocket server, at the request of a proxy',
  },
  eventBuffer: {
    kind: integer(100, 1_000_000, 'events'),
    default: '10000',
    meaning: 'How many events are kept for readers of /events that reconnect; 400 bytes each',
  },
  tunnels: {
    kind: tunnels,
    default: '',
    meaning:
      'Tunnels to upstream WebSocket servers, such as /docs/*=ws://127.0.0.1:1234. Settings: channel, subprotocol, message-rate, max-message-bytes',
  },
  tunnelHeaders: {
    kind: list('header names', clientField),
    default: 'cookie,user-agent,accept-language,origin,traceparent',
    meaning: 'Request headers of the client that tunnels forward',
  },
  tunnelAssertionKeyFile: {
    kind: assertionKeyFile,
    meaning:
      'File with the key that signs X-Ticket-Assertion for upstream servers: a private key signs with ES256, a secret with HS256',
  },
  drainSeconds: {
    kind: integer(1, 3600, 'seconds'),
    default: '30',
    inDevelopment: '1',
    meaning: 'Time from SIGTERM to exit, while sockets are closed in batches',
  },
  settingsFile: {
    kind: path,
    meaning:
      'File with settings that can change without a restart, one NAME=value per line: the login, login failure, ticket and message rates, the caps on connections, and the log level; reread when it changes, and on SIGHUP',
  },
  logLevel: {
    kind: choice('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
    default: 'info',
    meaning: 'Lowest level to log',
  },
} as const satisfies Readonly<Record<string, Definition>>

type Schema = typeof schema
export type Property = keyof Schema
type Parsed<P extends Property> = Schema[P]['kind'] extends Kind<infer T> ? T : never
type HasDefault<P extends Property> = Schema[P] extends { readonly default: string } ? true : false
type IsComputed<P extends Property> = Schema[P] extends { readonly computed: string } ? true : false

/** The given values, or else the defaults. */
export type Values = {
  readonly [P in Property]: HasDefault<P> extends true ? Parsed<P> : Parsed<P> | undefined
}

type Resolved = {
  readonly [P in Property]: IsComputed<P> extends true ? Parsed<P> : Values[P]
}

/** Every option, resolved. A rate that is off is undefined. A cap of 0 is none. */
export interface Config extends Resolved, Omit<IdentityConfig, 'jwtSecretPrevious'> {
  /** `NODE_ENV` is `production`. */
  readonly production: boolean
  /** What `maxConnections` is if it is given nowhere. */
  readonly maxConnectionsByDefault: number
  /** What was given elsewhere of the options that a settings file can have. */
  readonly settingsElsewhere: readonly (readonly [
    Property,
    { readonly label: string; readonly value: unknown },
  ])[]
}

type Textual<T> = T extends string ? T : T | string

/** What `createGate` takes for an option: its value, or that as text, as in the environment. */
export type OptionValue<P extends Property> = Textual<NonNullable<Parsed<P>>> | undefined

export const properties = Object.keys(schema) as Property[]
export const definition = (property: Property): Definition => schema[property]

/** Prefix of all variables. */
export const prefix = 'TICKETGATE_'
export const upperSnake = (name: string): string =>
  name.replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()
export const variableOf = (property: string): string => prefix + upperSnake(property)
export const flagOf = (property: string): string =>
  `--${upperSnake(property).toLowerCase().replaceAll('_', '-')}`
