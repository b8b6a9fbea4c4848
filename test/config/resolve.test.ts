import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connectionsWithin, descriptorLimit } from '../../src/config/descriptors.js'
import { helpText, optionsTable } from '../../src/config/help.js'
import { resolveConfig } from '../../src/config/resolve.js'
import type { Config } from '../../src/config/schema.js'
import type { ConfigSources } from '../../src/config/sources.js'
import { StartupError } from '../../src/errors.js'
import { certificate, certificateKey } from '../support/certificate.js'

const secret = 'canary-secret-0123456789-abcdefghij'
const adminKey = 'canary-admin-key-0123'
const production = { NODE_ENV: 'production', TICKETGATE_JWT_SECRET: secret, TICKETGATE_ADMIN_KEY: adminKey }

// Names that deployments use: a change here breaks them.
const variables = [
  'TICKETGATE_HOST',
  'TICKETGATE_PORT',
  'TICKETGATE_STATE_DIR',
  'TICKETGATE_CONSOLE',
  'TICKETGATE_TLS_CERT_FILE',
  'TICKETGATE_TLS_KEY_FILE',
  'TICKETGATE_ADMIN_HOST',
  'TICKETGATE_ADMIN_PORT',
  'TICKETGATE_ADMIN_KEY',
  'TICKETGATE_ADMIN_KEY_FILE',
  'TICKETGATE_ADMIN_KEY_PREVIOUS',
  'TICKETGATE_ADMIN_KEY_PREVIOUS_FILE',
  'TICKETGATE_PUBLIC_URL',
  'TICKETGATE_JWT_SECRET',
  'TICKETGATE_JWT_SECRET_FILE',
  'TICKETGATE_JWT_SECRET_PREVIOUS',
  'TICKETGATE_JWT_SECRET_PREVIOUS_FILE',
  'TICKETGATE_LOGIN',
  'TICKETGATE_OIDC_ISSUER',
  'TICKETGATE_JWKS_URL',
  'TICKETGATE_ISSUERS_FILE',
  'TICKETGATE_JWT_ISSUER',
  'TICKETGATE_JWT_AUDIENCE',
  'TICKETGATE_DEFAULT_PUBLISH',
  'TICKETGATE_DEFAULT_SUBSCRIBE',
  'TICKETGATE_TOKEN_TTL_SECONDS',
  'TICKETGATE_TOKEN_MAX_TTL_SECONDS',
  'TICKETGATE_MAX_TOKEN_BYTES',
  'TICKETGATE_TICKET_KEYS',
  'TICKETGATE_TICKET_KEYS_FILE',
  'TICKETGATE_NODE',
  'TICKETGATE_CLOCK_SKEW_SECONDS',
  'TICKETGATE_TICKET_TTL_SECONDS',
  'TICKETGATE_ORIGINS',
  'TICKETGATE_ORIGINS_FILE',
  'TICKETGATE_BIND',
  'TICKETGATE_BIND_ADDRESS_BITS',
  'TICKETGATE_TRUSTED_PROXIES',
  'TICKETGATE_USERS_FILE',
  'TICKETGATE_REPLAY',
  'TICKETGATE_REPLAY_CAPACITY',
  'TICKETGATE_REDIS_URL',
  'TICKETGATE_REDIS_URL_FILE',
  'TICKETGATE_REDIS_CA_FILE',
  'TICKETGATE_REDIS_CERT_FILE',
  'TICKETGATE_REDIS_KEY_FILE',
  'TICKETGATE_REDIS_EVICTION',
  'TICKETGATE_THREADS',
  'TICKETGATE_MAX_CONNECTIONS',
  'TICKETGATE_MAX_CONNECTIONS_PER_USER',
  'TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS',
  'TICKETGATE_MESSAGE_RATE',
  'TICKETGATE_LOGIN_RATE',
  'TICKETGATE_LOGIN_FAILURE_RATE',
  'TICKETGATE_TICKET_RATE',
  'TICKETGATE_MAX_MESSAGE_BYTES',
  'TICKETGATE_MAX_BACKPRESSURE_BYTES',
  'TICKETGATE_COMPRESSION',
  'TICKETGATE_FIRST_MESSAGE_SECONDS',
  'TICKETGATE_VERIFY',
  'TICKETGATE_EVENT_BUFFER',
  'TICKETGATE_TUNNELS',
  'TICKETGATE_TUNNEL_HEADERS',
  'TICKETGATE_TUNNEL_ASSERTION_KEY_FILE',
  'TICKETGATE_DRAIN_SECONDS',
  'TICKETGATE_SETTINGS_FILE',
  'TICKETGATE_LOG_LEVEL',
]

/** The problems of a configuration; empty if it is accepted. */
function problemsOf(sources: ConfigSources): string[] {
  try {
    resolveConfig(sources)
    return []
  } catch (error) {
    if (error instanceof StartupError && error.code === 'config_invalid') return error.message.split('\n')
    throw error
  }
}

const fromEnv = (env: ConfigSources['env']): Config => resolveConfig({ env })

/** Options that JavaScript callers can pass and TypeScript callers cannot. */
const untyped = (options: unknown): ConfigSources => ({ env: {}, options: options as object })

const defaults = {
  production: false,
  host: '127.0.0.1',
  port: 8080,
  stateDir: '.ticketgate',
  console: 'on',
  tlsCertFile: undefined,
  tlsKeyFile: undefined,
  adminHost: '127.0.0.1',
  adminPort: 8081,
  adminKey: undefined,
  adminKeyFile: undefined,
  adminKeyPrevious: undefined,
  adminKeyPreviousFile: undefined,
  jwtSecretFile: undefined,
  jwtSecretGiven: false,
  publicUrl: undefined,
  jwtSecretPrevious: undefined,
  jwtSecretPreviousFile: undefined,
  login: 'on',
  oidcIssuer: undefined,
  jwksUrl: undefined,
  issuersFile: undefined,
  issuers: [],
  jwtIssuer: undefined,
  jwtAudience: undefined,
  defaultPublish: [],
  defaultSubscribe: [],
  tokenTtlSeconds: 900,
  tokenMaxTtlSeconds: 86_400,
  maxTokenBytes: 16_384,
  ticketKeys: undefined,
  ticketKeysFile: undefined,
  node: undefined,
  clockSkewSeconds: 5,
  ticketTtlSeconds: 10,
  origins: [],
  originsFile: undefined,
  bind: [],
  bindAddressBits: { v4: 32, v6: 64 },
  trustedProxies: [],
  usersFile: join('.ticketgate', 'users.json'),
  replay: 'shared',
  replayCapacity: 1_000_000,
  redisUrl: undefined,
  redisUrlFile: undefined,
  redisCaFile: undefined,
  redisCertFile: undefined,
  redisKeyFile: undefined,
  redisEviction: 'checked',
  threads: 1,
  maxConnections: connectionsWithin(descriptorLimit()),
  maxConnectionsByDefault: connectionsWithin(descriptorLimit()),
  maxConnectionsPerUser: 0,
  maxConnectionsPerAddress: 0,
  messageRate: { count: 100, seconds: 1 },
  loginRate: { count: 600, seconds: 60 },
  loginFailureRate: { count: 600, seconds: 60 },
  ticketRate: { count: 60, seconds: 60 },
  maxMessageBytes: 16_384,
  maxBackpressureBytes: 65_536,
  compression: 'off',
  firstMessageSeconds: 0,
  verify: 'off',
  tunnels: [],
  tunnelHeaders: ['cookie', 'user-agent', 'accept-language', 'origin', 'traceparent'],
  tunnelAssertionKeyFile: undefined,
  eventBuffer: 10_000,
  drainSeconds: 1,
  settingsFile: undefined,
  settingsElsewhere: [],
  logLevel: 'info',
}

t.test('all defaults', async t => {
  const { jwtSecret, ...rest } = fromEnv({})
  t.strictSame(rest, defaults)
  t.ok(Buffer.byteLength(jwtSecret) >= 32, 'the generated secret is long enough')
  t.not(fromEnv({}).jwtSecret, jwtSecret, 'each start generates another secret')
})

t.test('some defaults depend on other options', async t => {
  t.match(fromEnv(production), { console: 'off', drainSeconds: 30, loginRate: { count: 10, seconds: 60 } })
  t.equal(fromEnv({ ...production, TICKETGATE_CONSOLE: 'on' }).console, 'on')
  t.equal(fromEnv({ TICKETGATE_STATE_DIR: '/var/lib/x' }).usersFile, '/var/lib/x/users.json')
  t.equal(fromEnv({ TICKETGATE_TOKEN_MAX_TTL_SECONDS: '60' }).tokenTtlSeconds, 60)
  t.equal(fromEnv({ TICKETGATE_MAX_MESSAGE_BYTES: '1000000' }).maxBackpressureBytes, 1_000_000)
  const ticketKeys = { TICKETGATE_TICKET_KEYS: `1:${'k'.repeat(43)}`, TICKETGATE_NODE: 'one' }
  t.equal(fromEnv(ticketKeys).replay, 'memory')
  t.equal(fromEnv({ ...ticketKeys, TICKETGATE_THREADS: '2' }).replay, 'shared')
})

t.test('the backpressure limit may be below the largest message', async t => {
  t.equal(fromEnv({ TICKETGATE_MAX_BACKPRESSURE_BYTES: '1024' }).maxBackpressureBytes, 1024)
})

t.test('an empty variable counts as unset', async t => {
  const empty = Object.fromEntries([...variables, 'TICKETGATE_NO_SUCH', 'PORT'].map(name => [name, '']))
  t.strictSame({ ...fromEnv(empty), jwtSecret: '' }, { ...fromEnv({}), jwtSecret: '' })
  t.match(
    problemsOf({ env: { ...empty, NODE_ENV: 'production' } }).join('\n'),
    'TICKETGATE_JWT_SECRET: is required',
  )
})

t.test('options win over flags, flags over variables, variables over PORT and defaults', async t => {
  const name = 'TICKETGATE_PORT'
  const both = ['--port', '2', '--host=::1']
  t.equal(fromEnv({ PORT: '4' }).port, 4, 'PORT wins over the default')
  t.equal(fromEnv({ PORT: '4', [name]: '3' }).port, 3, 'the variable wins over PORT')
  t.equal(fromEnv({ PORT: '4', [name]: '0' }).port, 0, 'even as 0')
  t.equal(resolveConfig({ env: { [name]: '3' }, flags: both }).port, 2, 'a flag wins over the variable')
  t.equal(resolveConfig({ env: {}, flags: both, options: { port: 1 } }).port, 1, 'an option wins over a flag')
  t.equal(
    resolveConfig({ env: {}, flags: both, options: { port: 1 } }).host,
    '::1',
    'other flags still count',
  )
  t.equal(
    resolveConfig({ env: { [name]: '3' }, options: { port: undefined } }).port,
    3,
    'an undefined option counts as unset',
  )
  t.strictSame(
    resolveConfig({ env: { TICKETGATE_ORIGINS: 'https://a.example' }, options: { origins: [] } }).origins,
    [],
    'an empty list counts as set',
  )
  t.strictSame(problemsOf({ env: { [name]: 'x' }, flags: both }), [], 'overridden values are not checked')
})

t.test('texts and typed options give the same values', async t => {
  const texts = fromEnv({
    TICKETGATE_ORIGINS: 'https://a.example, http://localhost:3000,https://a.example',
    TICKETGATE_BIND: 'origin,address',
    TICKETGATE_BIND_ADDRESS_BITS: '24,56',
    TICKETGATE_TRUSTED_PROXIES: '10.0.0.0/8, ::1,2001:db8::/32',
    TICKETGATE_LOGIN_RATE: '5/300',
    TICKETGATE_TICKET_RATE: 'off',
    TICKETGATE_EVENT_BUFFER: '500',
    TICKETGATE_DRAIN_SECONDS: ' 7 ',
    TICKETGATE_LOG_LEVEL: 'trace',
    TICKETGATE_PUBLIC_URL: 'HTTPS://Example.com:443/edge/',
  })
  const values = resolveConfig({
    env: {},
    options: {
      origins: ['https://a.example', 'http://localhost:3000'],
      bind: ['origin', 'address'],
      bindAddressBits: { v4: 24, v6: 56 },
      trustedProxies: ['10.0.0.0/8', '::1', '2001:db8::/32'],
      loginRate: { count: 5, seconds: 300 },
      ticketRate: 'off',
      eventBuffer: 500,
      drainSeconds: 7,
      logLevel: 'trace',
      publicUrl: 'https://example.com/edge',
    },
  })
  const own = { jwtSecret: '', settingsElsewhere: [] }
  t.strictSame({ ...texts, ...own }, { ...values, ...own })
  t.strictSame(texts.origins, ['https://a.example', 'http://localhost:3000'])
  t.strictSame(texts.bindAddressBits, { v4: 24, v6: 56 })
  t.strictSame(texts.loginRate, { count: 5, seconds: 300 })
  t.equal(texts.ticketRate, undefined)
  t.equal(texts.publicUrl, 'https://example.com/edge')
})

t.test('each range includes its limits and nothing beyond', async t => {
  const cases = [
    ['PORT', 0, 65_535],
    ['ADMIN_PORT', 0, 65_535],
    ['TOKEN_TTL_SECONDS', 1, 86_400],
    ['TOKEN_MAX_TTL_SECONDS', 1, 31_536_000],
    ['MAX_TOKEN_BYTES', 1024, 65_536],
    ['TICKET_TTL_SECONDS', 1, 3600],
    ['REPLAY_CAPACITY', 100, 16_000_000],
    ['MAX_CONNECTIONS', 0, 16_000_000],
    ['MAX_CONNECTIONS_PER_USER', 0, 16_000_000],
    ['MAX_CONNECTIONS_PER_ADDRESS', 0, 16_000_000],
    ['MAX_MESSAGE_BYTES', 1024, 16_777_216],
    ['MAX_BACKPRESSURE_BYTES', 1024, 1_073_741_824],
    ['EVENT_BUFFER', 100, 1_000_000],
    ['DRAIN_SECONDS', 1, 3600],
  ] as const
  for (const [name, min, max] of cases) {
    const variable = `TICKETGATE_${name}`
    for (const value of [min, max])
      t.strictSame(problemsOf({ env: { [variable]: `${value}` } }), [], `${name} ${value}`)
    for (const value of [min - 1, max + 1]) {
      const [problem = '', ...more] = problemsOf({ env: { [variable]: `${value}` } })
      t.ok(problem.startsWith(`${variable}: `), `${name} ${value} is refused by name`)
      t.match(problem, /"-?\d+" is out of range: give \d+ to \d+|out of range: give at most 86400/)
      t.strictSame(more, [])
    }
  }
})

t.test('rates and address bits are checked', async t => {
  const accepted = [
    { TICKETGATE_LOGIN_RATE: '1/1' },
    { TICKETGATE_LOGIN_RATE: '1000000/86400' },
    { TICKETGATE_BIND_ADDRESS_BITS: '8,33' },
    { TICKETGATE_BIND_ADDRESS_BITS: '32,128' },
  ]
  for (const env of accepted) t.strictSame(problemsOf({ env }), [], JSON.stringify(env))
  const rates = [
    '0/1',
    '1/0',
    '1000001/1',
    '1/86401',
    '1',
    '1/1/1',
    '1.5/1',
    '-1/1',
    '10/',
    'on',
    '1e3/1',
    '01/1',
  ]
  for (const text of rates)
    for (const name of ['MESSAGE_RATE', 'LOGIN_RATE', 'TICKET_RATE'])
      t.match(
        problemsOf({ env: { [`TICKETGATE_${name}`]: text } }),
        [`TICKETGATE_${name}: "${text}" is`],
        text,
      )
  for (const text of ['7,64', '33,64', '32,32', '32,129', '32', '32,64,1', '32,', 'a,b', '1e1,64'])
    t.match(problemsOf({ env: { TICKETGATE_BIND_ADDRESS_BITS: text } }), [`"${text}" is not a pair`], text)
})

/** Expects each value to be refused with this explanation, after the name of the variable. */
const refuses = (
  t: Test,
  cases: readonly (readonly [name: string, value: string, message: string | RegExp])[],
): void => {
  for (const [name, value, message] of cases) {
    const [problem = '', ...more] = problemsOf({ env: { [`TICKETGATE_${name}`]: value } })
    const label = `TICKETGATE_${name}: `
    t.equal(problem.slice(0, label.length), label, `${name} ${value.slice(0, 40)} is named`)
    t.match(problem.slice(label.length), message, `${name} ${value.slice(0, 40)} is explained`)
    if (typeof message === 'string') t.equal(problem.slice(label.length), message)
    t.strictSame(more, [])
  }
}

t.test('an invalid value is refused with an explanation', async t => {
  const weak = 'Generate one: export TICKETGATE_JWT_SECRET="$(openssl rand -base64 48)"'
  const weakKey = 'Generate one: export TICKETGATE_ADMIN_KEY="$(openssl rand -hex 24)"'
  const hostHelp =
    'is neither an address nor a host name: give one such as 127.0.0.1, or 0.0.0.0 for all interfaces, without port or brackets'
  const levels = 'trace, debug, info, warn, error, fatal'
  refuses(t, [
    ['HOST', 'localhost:80', `"localhost:80" ${hostHelp}`],
    ['HOST', '[::1]', `"[::1]" ${hostHelp}`],
    ['HOST', '*', `"*" ${hostHelp}`],
    ['ADMIN_HOST', '300.1.1.1', `"300.1.1.1" ${hostHelp}`],
    ['PORT', 'http', '"http" is not a whole number: give 0 to 65535'],
    ['PORT', '80.5', '"80.5" is not a whole number: give 0 to 65535'],
    ['PORT', '0x50', '"0x50" is not a whole number: give 0 to 65535'],
    ['DRAIN_SECONDS', '30s', '"30s" is not a whole number: give 1 to 3600 seconds'],
    ['REPLAY_CAPACITY', '1,000,000', '"1,000,000" is not a whole number: give 100 to 16000000 tickets'],
    ['JWT_SECRET', 'short', `is shorter than 32 bytes. ${weak}`],
    ['JWT_SECRET', 'abcdefghijklmnopqrstuvwxyz01234', `is shorter than 32 bytes. ${weak}`],
    ['ADMIN_KEY', 'fifteen-letters', `is shorter than 16 characters. ${weakKey}`],
    [
      'ADMIN_KEY',
      'sixteen letters!',
      `has characters that headers cannot carry: use visible ASCII without spaces. ${weakKey}`,
    ],
    ['JWT_ISSUER', 'a\nb', 'is too long or has control characters: give one line of at most 256 characters'],
    [
      'JWT_AUDIENCE',
      'a'.repeat(257),
      'is too long or has control characters: give one line of at most 256 characters',
    ],
    ['DEFAULT_PUBLISH', 'a b', /^"a b" is not a channel pattern: write a channel name or a prefix and \*/],
    ['DEFAULT_SUBSCRIBE', 'ok,user.${name}', /^"user\.\$\{name\}" is not a channel pattern/],
    ['STATE_DIR', 'a\0b', 'has a zero byte: give a path'],
    ['BIND', 'origin,ip', '"ip" is none of origin, address'],
    [
      'TRUSTED_PROXIES',
      '10/8',
      '"10/8" is not a network: write it as 10.0.0.0/8, 2001:db8::/32 or a single address',
    ],
    ['TRUSTED_PROXIES', '10.0.0.0/33', /^"10.0.0.0\/33" is not a network/],
    ['TRUSTED_PROXIES', '::/129', /^"::\/129" is not a network/],
    ['TRUSTED_PROXIES', '10.0.0.1,nginx', /^"nginx" is not a network/],
    ['LOG_LEVEL', 'verbose', `"verbose" is none of ${levels}`],
    ['LOG_LEVEL', 'INFO', `"INFO" is none of ${levels}`],
    ['MESSAGE_RATE', '100', '"100" is not a rate: give COUNT/SECONDS, such as 10/60, or off'],
    ['LOGIN_RATE', '1/86401', '"1/86401" is out of range: COUNT is at most 1000000, SECONDS at most 86400'],
  ])
})

t.test('an invalid URL is refused with an explanation', async t => {
  const urlParts = 'has a query, fragment, user or password: give scheme, host, port and path only'
  refuses(t, [
    ['PUBLIC_URL', 'wss://example.com', 'is not an http or https URL: give one such as https://example.com'],
    ['PUBLIC_URL', 'example.com', 'is not an http or https URL: give one such as https://example.com'],
    ['PUBLIC_URL', 'https://example.com/?a', urlParts],
    ['PUBLIC_URL', 'https://example.com/#', urlParts],
    ['PUBLIC_URL', 'https://me:pw@example.com', urlParts],
    ['JWKS_URL', 'id.example.com', /^is not an https URL: give one such as/],
    ['JWKS_URL', 'file:///etc/keys.json', /^is not an https URL/],
    ['JWKS_URL', 'data:application/json,{}', /^is not an https URL/],
    ['JWKS_URL', 'https://me:pw@id.example.com/keys', /^has a fragment, user or password/],
    ['JWKS_URL', 'https://id.example.com/keys#1', /^has a fragment, user or password/],
    ['JWKS_URL', 'http://id.example.com/keys', 'is not encrypted, and not on loopback: give an https URL'],
    ['JWKS_URL', 'http://10.0.0.1/keys', 'is not encrypted, and not on loopback: give an https URL'],
    ['JWKS_URL', 'http://localhost.example/keys', /^is not encrypted/],
    ['JWKS_URL', 'http://127.0.0.1.example/keys', /^is not encrypted/],
  ])
})

t.test('an origin must be written as browsers send it', async t => {
  const spelling = (right: string): string => `is not spelt as browsers send it: write ${right}`
  const shared =
    'is shared by unrelated pages, so it cannot be allowed: serve the page under an origin such as https://example.com'
  const cases = [
    ['https://Example.com', spelling('https://example.com')],
    ['https://example.com/', spelling('https://example.com')],
    ['https://example.com:443', spelling('https://example.com')],
    ['http://example.com:80', spelling('http://example.com')],
    ['https://example.com/path?q', spelling('https://example.com')],
    ['HTTPS://example.com', spelling('https://example.com')],
    ['https://bücher.example', spelling('https://xn--bcher-kva.example')],
    ['example.com', spelling('https://example.com')],
    ['localhost:4200', spelling('http://localhost:4200')],
    ['localhost', spelling('http://localhost')],
    ['127.0.0.1:4200/', spelling('http://127.0.0.1:4200')],
    ['[::1]:4200', spelling('http://[::1]:4200')],
    ['localhost.example', spelling('https://localhost.example')],
    ['wss://example.com', spelling('https://example.com')],
    ['ws://localhost:4200', spelling('http://localhost:4200')],
    ['capacitor://localhost/', spelling('capacitor://localhost')],
    ['Tauri://localhost', spelling('tauri://localhost')],
    ['chrome-extension://abc/page.html', spelling('chrome-extension://abc')],
    ['null', shared],
    ['file://', shared],
    ['file:///srv/page.html', shared],
    ['data:text/html;x', shared],
    ['blob:https://example.com/1', shared],
    ['ftp://example.com', 'is not an origin: write it as https://example.com'],
    ['capacitor://', 'is not an origin: write it as https://example.com'],
    ['capacitor:localhost', 'is not an origin: write it as https://example.com'],
    ['app://a%41', 'is not an origin: write it as https://example.com'],
    ['https://a b', 'is not an origin: write it as https://example.com'],
    ['*', 'has a wildcard, which is not supported: list each origin'],
    ['https://*.example.com', 'has a wildcard, which is not supported: list each origin'],
  ] as const
  for (const [text, message] of cases)
    t.strictSame(
      problemsOf({ env: { TICKETGATE_ORIGINS: `https://good.example,${text}` } }),
      [`TICKETGATE_ORIGINS: "${text}" ${message}`],
      text,
    )
  t.strictSame(
    problemsOf({ env: { TICKETGATE_ORIGINS: 'https://me:canary@example.com' } }),
    [`TICKETGATE_ORIGINS: "…@example.com" ${spelling('https://example.com')}`],
    'a password in it is not shown',
  )
})

t.test('origins of apps and browser extensions can be listed', async t => {
  const origins = [
    'capacitor://localhost',
    'ionic://localhost:8100',
    'tauri://localhost',
    'app://.',
    'chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn',
    'moz-extension://0d6b8a1c-4f52-4c39-9c67-7d3f3a1f9d10',
    'safari-web-extension://E4F8C4AB-33D1-4B52-A2B1-1A3F6A6D2F3E',
    'vscode-webview://1g2h3j4k5l',
  ]
  t.strictSame(resolveConfig({ env: { TICKETGATE_ORIGINS: origins.join() } }).origins, origins)
})

t.test('an unknown name is refused, with the most similar known one', async t => {
  const variable = (name: string, near: string) =>
    [{ env: { [name]: 'canary' } }, `${name}: unknown variable: unset it, or write ${near} if`] as const
  const flag = (name: string, near: string) =>
    [{ env: {}, flags: [`${name}=canary`] }, `${name}: unknown flag: ${near} if`] as const
  const option = (name: string, near: string) =>
    [untyped({ [name]: 'canary' }), `${name}: unknown option: write ${near} if`] as const
  const cases = [
    variable('TICKETGATE_HOTS', 'TICKETGATE_HOST'),
    variable('TICKETGATE_TICKET_TTL', 'TICKETGATE_TICKET_TTL_SECONDS'),
    variable('TICKETGATE_TICKET_TTL_SECOND', 'TICKETGATE_TICKET_TTL_SECONDS'),
    variable('TICKETGATE_SECRET', 'TICKETGATE_JWT_SECRET'),
    variable('TICKETGATE_JWT_SECRT', 'TICKETGATE_JWT_SECRET'),
    variable('TICKETGATE_ALLOWED_ORIGINS', 'TICKETGATE_ORIGINS'),
    variable('TICKETGATE_ORIGIN', 'TICKETGATE_ORIGINS'),
    variable('TICKETGATE_LOGLEVEL', 'TICKETGATE_LOG_LEVEL'),
    flag('--prot', 'write --port'),
    flag('--ticket-ttl', 'write --ticket-ttl-seconds'),
    flag('--jwt-secrt', 'set TICKETGATE_JWT_SECRET'),
    flag('--ticketTtlSeconds', 'write --ticket-ttl-seconds'),
    option('ticketTTLSeconds', 'ticketTtlSeconds'),
    option('ticketTtl', 'ticketTtlSeconds'),
    option('trustProxy', 'trustedProxies'),
    option('secret', 'jwtSecret'),
  ]
  for (const [sources, message] of cases) {
    const [problem = '', ...more] = problemsOf(sources)
    t.equal(problem.slice(0, message.length), message)
    t.notMatch(problem, 'canary')
    t.strictSame(more, [])
  }
  t.match(
    problemsOf(untyped({ toString: 1 })),
    ['toString: unknown option'],
    'inherited members are unknown options',
  )
})

t.test('flags are read and checked', async t => {
  const read = (...flags: string[]): string[] => problemsOf({ env: {}, flags })
  t.equal(resolveConfig({ env: {}, flags: ['--ticket-ttl-seconds', '9'] }).ticketTtlSeconds, 9)
  t.equal(resolveConfig({ env: {}, flags: ['--ticket-ttl-seconds=9'] }).ticketTtlSeconds, 9)
  t.equal(resolveConfig({ env: {}, flags: ['--port='] }).port, 8080, 'an empty flag counts as unset')

  const visible = 'arguments are visible to every user of this machine: set'
  const stray = 'is not a flag: write --name value or --name=value'
  const cases = [
    ['an invalid value', read('--port', 'x'), ['--port: "x" is not a whole number: give 0 to 65535']],
    ['no value', read('--port'), ['--port: needs a value: write --port=VALUE']],
    [
      'a flag in place of a value',
      read('--port', '--host=::1'),
      ['--port: needs a value: write --port=VALUE'],
    ],
    ['given twice', read('--port', '1', '--port=2'), ['--port: is given more than once: keep one']],
    ['a stray argument', read('--port', '1', 'canary'), [`argument 3: ${stray}`]],
    ['an argument after --', read('--', '--port=1'), [`argument 2: ${stray}`]],
    ['a secret', read('--jwt-secret', 'canary'), [`--jwt-secret: ${visible} TICKETGATE_JWT_SECRET instead`]],
    [
      'a secret, inline',
      read('--admin-key=canary'),
      [`--admin-key: ${visible} TICKETGATE_ADMIN_KEY instead`],
    ],
  ] as const
  for (const [name, problems, expected] of cases) t.strictSame(problems, expected, name)

  const [letters = '', ...more] = read('-p80')
  t.match(letters, '-p: unknown flag: write --', 'letters')
  t.strictSame(more, [], 'the letters after the first are not reported')
})

t.test('options of the wrong type are refused', async t => {
  const cases = [
    [{ port: '80x' }, 'port: "80x" is not a whole number: give 0 to 65535'],
    [{ port: Number.NaN }, 'port: "NaN" is not a whole number: give 0 to 65535'],
    [{ port: 1.5 }, 'port: "1.5" is not a whole number: give 0 to 65535'],
    [{ port: true }, 'port: is of the wrong type: give 0 to 65535'],
    [{ port: null }, 'port: is of the wrong type: give 0 to 65535'],
    [{ origins: [1] }, 'origins: is of the wrong type: give comma list of origins, as https://example.com'],
    [{ loginRate: { count: 1 } }, /^loginRate: is of the wrong type: give COUNT\/SECONDS/],
    [{ loginRate: { count: 0.5, seconds: 1 } }, /^loginRate: "0.5\/1" is not a rate/],
    [{ bindAddressBits: 24 }, /^bindAddressBits: is of the wrong type/],
    [{ jwtSecret: Buffer.from(secret) }, /^jwtSecret: is of the wrong type: give text of 32 bytes or more/],
    [{ adminKey: 1234567890123456 }, /^adminKey: is of the wrong type: give text of 16 characters or more/],
  ] as const
  for (const [options, message] of cases) {
    const problems = problemsOf(untyped(options))
    t.equal(problems.length, 1)
    if (typeof message === 'string') t.equal(problems[0], message)
    else t.match(problems[0], message)
  }
})

t.test('a misspelt "production" is refused, not taken for development', t => {
  for (const NODE_ENV of [
    'Production',
    'prod',
    'production ',
    'production\r',
    '"production"',
    '\uFEFFproduction',
  ])
    t.match(problemsOf({ env: { ...production, NODE_ENV } }).join('\n'), /NODE_ENV .*"production"/, NODE_ENV)
  for (const NODE_ENV of ['', 'development', 'test', 'staging', 'preproduction'])
    t.equal(fromEnv({ NODE_ENV }).production, false, NODE_ENV)
  t.end()
})

t.test('production requires strong secrets', async t => {
  const config = fromEnv(production)
  t.match(config, { production: true, jwtSecret: secret, adminKey })
  t.strictSame(
    problemsOf({ env: { NODE_ENV: 'production' } }),
    [
      'TICKETGATE_ADMIN_KEY: is required in production. Generate one: export TICKETGATE_ADMIN_KEY="$(openssl rand -hex 24)"',
      'TICKETGATE_JWT_SECRET: is required in production. Generate one: export TICKETGATE_JWT_SECRET="$(openssl rand -base64 48)"',
    ],
    'requires the secret and the admin key',
  )
  t.match(
    problemsOf({ env: { ...production, TICKETGATE_JWT_SECRET: 'x'.repeat(32) } }),
    [/^TICKETGATE_JWT_SECRET: the secret is weak/],
    'refuses a weak secret, in one line',
  )
  t.match(
    problemsOf({ env: { ...production, TICKETGATE_ADMIN_KEY: 'a1'.repeat(16) } }),
    [/^TICKETGATE_ADMIN_KEY: the secret is weak.*openssl rand -hex 24/],
    'refuses a weak admin key',
  )
  t.equal(fromEnv({ NODE_ENV: 'development' }).production, false)
  t.equal(
    resolveConfig({ env: { NODE_ENV: 'production' }, options: { jwtSecret: secret, adminKey } }).jwtSecret,
    secret,
    'accepts secrets given as options',
  )
})

t.test('with the keys of an identity provider, production requires issuer and audience', async t => {
  const url = 'https://id.example.com/keys?v=1'
  for (const good of [url, 'http://127.0.0.1:9/k', 'http://localhost/k', 'http://[::1]:9/k'])
    t.equal(fromEnv({ TICKETGATE_JWKS_URL: good }).jwksUrl, good)
  const { TICKETGATE_JWT_SECRET: _, ...rest } = production
  const env = { ...rest, TICKETGATE_JWKS_URL: url }
  t.strictSame(
    problemsOf({ env }),
    [
      "TICKETGATE_JWT_ISSUER: is required in production with TICKETGATE_JWKS_URL: set it to what the provider's tokens have as iss",
      "TICKETGATE_JWT_AUDIENCE: is required in production with TICKETGATE_JWKS_URL: set it to what the provider's tokens have as aud",
    ],
    'production requires an issuer and an audience, and no secret',
  )
  const whole = { ...env, TICKETGATE_JWT_ISSUER: 'https://id.example.com', TICKETGATE_JWT_AUDIENCE: 'gate' }
  t.strictSame(problemsOf({ env: whole }), [])
  t.strictSame(
    problemsOf({ env: { ...production, TICKETGATE_JWKS_URL: 'nowhere' } }),
    [
      'TICKETGATE_JWKS_URL: is not an https URL: give one such as https://id.example.com/.well-known/jwks.json',
    ],
    'an invalid URL is the only problem reported',
  )
})

t.test('the admin key is required off loopback', async t => {
  for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '::1', '::ffff:127.0.0.1'])
    t.strictSame(problemsOf({ env: { TICKETGATE_ADMIN_HOST: host } }), [], host)
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'localhost.example', '::ffff:10.0.0.1']) {
    const env = { TICKETGATE_ADMIN_HOST: host }
    t.strictSame(
      problemsOf({ env }),
      [
        `TICKETGATE_ADMIN_KEY: is required if the admin listener is not on loopback (${host}). Generate one: export TICKETGATE_ADMIN_KEY="$(openssl rand -hex 24)"`,
      ],
      host,
    )
    t.equal(fromEnv({ ...env, TICKETGATE_ADMIN_KEY: adminKey }).adminKey, adminKey)
  }
})

t.test('the length of a secret is counted in bytes', async t => {
  t.equal(fromEnv({ TICKETGATE_JWT_SECRET: 'äöüßÄÖÜé'.repeat(2) }).jwtSecret, 'äöüßÄÖÜé'.repeat(2))
})

t.test('a secret can be in a file', async t => {
  const fileOf = (content: string | Buffer): string => join(t.testdir({ secret: content }), 'secret')
  const read = (content: string): string => fromEnv({ TICKETGATE_JWT_SECRET_FILE: fileOf(content) }).jwtSecret
  t.equal(read(`${secret}\n`), secret, 'a trailing newline is removed')
  t.equal(read(`${secret}\r\n`), secret, 'a trailing Windows newline is removed')
  t.equal(read(secret), secret)
  t.equal(
    resolveConfig({ env: {}, flags: ['--jwt-secret-file', fileOf(secret)] }).jwtSecret,
    secret,
    'a flag can name the file',
  )
  t.equal(
    resolveConfig({ env: { TICKETGATE_JWT_SECRET_FILE: '/none' }, options: { jwtSecret: secret } }).jwtSecret,
    secret,
    'an option wins over a file named by a variable',
  )

  const dir = t.testdir({ short: 'canary', binary: Buffer.from([...Buffer.from(secret), 0xff]) })
  const file = 'TICKETGATE_JWT_SECRET_FILE'
  const cases = [
    [
      `${dir}/none`,
      `cannot read ${dir}/none (ENOENT: no such file or directory): give the path of a file that this`,
    ],
    [
      dir,
      `cannot read ${dir} (EISDIR: illegal operation on a directory): give the path of a file that this user may`,
    ],
    [
      `${dir}/short`,
      `the secret in ${dir}/short is shorter than 32 bytes. Generate one: openssl rand -base64 48 > ${dir}/`,
    ],
    [`${dir}/binary`, `${dir}/binary is not UTF-8: write it as UTF-8 text, such as base64 (in PowerShell`],
  ] as const
  for (const [path, message] of cases)
    for (const NODE_ENV of ['development', 'production']) {
      const problems = problemsOf({ env: { NODE_ENV, TICKETGATE_ADMIN_KEY: adminKey, [file]: path } })
      t.equal(problems.length, 1)
      t.equal(problems[0]?.slice(0, `${file}: ${message}`.length), `${file}: ${message}`)
    }
  t.strictSame(
    problemsOf({ env: { [file]: fileOf(secret), TICKETGATE_JWT_SECRET: secret } }),
    [`TICKETGATE_JWT_SECRET: ${file} is set too: unset one of them`],
    'a file and a variable together are refused',
  )
})

t.test('quotes and invisible characters around a value are refused, in variables and in files', async t => {
  const quotes = /is in quotes, which would be part of it: remove them/
  const carriageReturn = /ends with a carriage return: save the file with Unix line endings/
  const mark = /begins with a byte order mark/
  const settings = [
    ['TICKETGATE_PORT', '8080'],
    ['PORT', '8080'],
    ['TICKETGATE_HOST', '127.0.0.1'],
    ['TICKETGATE_ORIGINS', 'https://a.example'],
    ['TICKETGATE_ADMIN_KEY', adminKey],
    ['TICKETGATE_JWT_SECRET', secret],
    ['TICKETGATE_REDIS_URL', 'redis://127.0.0.1'],
  ] as const
  for (const [name, value] of settings) {
    const problems = (text: string): string[] => problemsOf({ env: { [name]: text } })
    t.strictSame(problems(value), [], name)
    t.strictSame(problems(`${value}\n`), [], `${name}: a trailing newline is removed`)
    for (const [kind, text, message] of [
      ['in double quotes', `"${value}"`, quotes],
      ['in single quotes', `'${value}'`, quotes],
      ['with a carriage return', `${value}\r`, carriageReturn],
      ['with a byte order mark', `\uFEFF${value}`, mark],
    ] as const) {
      const [problem = '', ...more] = problems(text)
      t.ok(problem.startsWith(`${name}: `), `${name} ${kind} is named`)
      t.match(problem, message)
      t.notMatch(problem, value, 'the value is not repeated')
      t.notMatch(problem, 'Generate one', 'no new secret is suggested')
      t.strictSame(more, [])
    }
  }

  const secretOf = (text: string) => {
    const file = join(t.testdir({ secret: text }), 'secret')
    const both = [{ TICKETGATE_JWT_SECRET: text }, { TICKETGATE_JWT_SECRET_FILE: file }]
    return both.map(env => {
      const [problem] = problemsOf({ env })
      return (
        problem?.replace(/^TICKETGATE_JWT_SECRET(_FILE: the secret in \S+|:) /, '') ?? fromEnv(env).jwtSecret
      )
    })
  }
  for (const text of [secret, `${secret}\n`, `${secret}\r\n`, `${secret}é`])
    t.strictSame(secretOf(text), Array(2).fill(text.trim()), JSON.stringify(text))
  for (const text of [
    `\uFEFF${secret}`,
    `"${secret}"`,
    `${secret}\r`,
    `${secret}\n\n`,
    `${secret}\n${secret}`,
    ` ${secret}`,
    `${secret}\t`,
    `${secret}\u200b`,
    `${secret}\u00a0`,
  ]) {
    const [byVariable = '', byFile] = secretOf(text)
    t.equal(byVariable, byFile, `${JSON.stringify(text)}: the same from a variable and a file`)
    t.match(byVariable, /: (save|remove|give) /, 'the refusal says what to do')
    t.notMatch(byVariable, secret)
  }
  t.match(
    problemsOf({
      env: { TICKETGATE_JWT_SECRET_FILE: join(t.testdir({ s: Buffer.from(secret, 'utf16le') }), 's') },
    }),
    [/invisible characters/],
    'UTF-16 without a byte order mark',
  )
})

t.test('a raw % in the Redis password is refused', async t => {
  const problems = (url: string) => problemsOf({ env: { TICKETGATE_REDIS_URL: url } })
  for (const url of ['redis://:50%25@127.0.0.1', 'rediss://me:a%2Fb%3F@redis.example:6380/1'])
    t.strictSame(problems(url), [], url)
  for (const url of [
    'redis://:canary%@127.0.0.1',
    'redis://:can%zzary@h',
    'redis://ca%nary:x@h',
    'redis://:%E9canary@h',
  ]) {
    t.match(
      problems(url),
      [
        /^TICKETGATE_REDIS_URL: has a % in its user or password that starts no escape sequence: write it as %25$/,
      ],
      url,
    )
    t.notMatch(problems(url).join(), 'canary')
  }
  for (const url of ['redis://:a#canary@h', 'redis://:a?canary@h', 'redis://:a/canary@h'])
    t.match(problems(url), [/In a password, write|is not a URL/], url)
})

t.test('TLS needs a certificate and its key', async t => {
  const dir = t.testdir({ 'cert.pem': certificate, 'key.pem': certificateKey })
  const [cert, key] = [`${dir}/cert.pem`, `${dir}/key.pem`]
  const tls = (certFile: string, keyFile: string): ConfigSources['env'] => ({
    TICKETGATE_TLS_CERT_FILE: certFile,
    TICKETGATE_TLS_KEY_FILE: keyFile,
  })
  t.match(fromEnv(tls(cert, key)), { tlsCertFile: cert, tlsKeyFile: key })
  t.strictSame(problemsOf({ env: tls(cert, '') }), [
    'TICKETGATE_TLS_KEY_FILE: is required with TICKETGATE_TLS_CERT_FILE: set both, or neither',
  ])
  t.strictSame(problemsOf({ env: {}, flags: ['--tls-key-file', key] }), [
    'TICKETGATE_TLS_CERT_FILE: is required with --tls-key-file: set both, or neither',
  ])
  t.strictSame(problemsOf({ env: tls(cert, `${dir}/none`) }), [
    `TICKETGATE_TLS_KEY_FILE: cannot read ${dir}/none (ENOENT: no such file or directory): give the path of a file that this user may read`,
  ])
  const [swapped = '', ...more] = problemsOf({ env: tls(key, cert) })
  t.equal(
    swapped,
    `TICKETGATE_TLS_CERT_FILE: ${key} and ${cert}: the first is not a certificate: give a certificate chain in PEM`,
  )
  t.strictSame(more, [])
})

t.test('contradictory options are refused', async t => {
  t.strictSame(
    problemsOf({ env: { TICKETGATE_TOKEN_TTL_SECONDS: '61', TICKETGATE_TOKEN_MAX_TTL_SECONDS: '60' } }),
    [
      'TICKETGATE_TOKEN_TTL_SECONDS: 61 is out of range: give at most 60 (TICKETGATE_TOKEN_MAX_TTL_SECONDS), or raise that',
    ],
  )
  const samePort =
    'TICKETGATE_ADMIN_PORT: the public listener uses port 8081 too: give one of them another port'
  t.strictSame(problemsOf({ env: { PORT: '8081' } }), [samePort])
  t.strictSame(problemsOf({ env: { PORT: '8081', TICKETGATE_HOST: '0.0.0.0' } }), [samePort])
  t.strictSame(
    problemsOf({ env: { PORT: '8081', TICKETGATE_HOST: '127.0.0.2' } }),
    [],
    'the same port on two addresses is fine',
  )
  t.strictSame(problemsOf({ env: { PORT: '0', TICKETGATE_ADMIN_PORT: '0' } }), [], 'two ports of 0 are fine')
})

t.test('variables that Kubernetes sets for a service named ticketgate are explained', async t => {
  const env = {
    TICKETGATE_PORT: 'tcp://10.0.0.1:80',
    TICKETGATE_SERVICE_HOST: '10.0.0.1',
    TICKETGATE_PORT_80_TCP_ADDR: '10.0.0.1',
  }
  t.strictSame(problemsOf({ env }), [
    `${Object.keys(env).join(', ')}: Kubernetes set this for a service: put enableServiceLinks: false into the pod's spec, or rename the service`,
  ])
})

t.test('all problems are reported at once, without secrets', async t => {
  const canary = 'canary'
  const problems = problemsOf({
    env: {
      NODE_ENV: 'production',
      TICKETGATE_JWT_SECRET: canary,
      TICKETGATE_ADMIN_KEY: canary,
      TICKETGATE_ADMINKEY: canary,
      TICKETGATE_JWT_SECRETS: canary,
      TICKETGATE_PUBLIC_URL: `ftp://me:${canary}@example.com`,
      TICKETGATE_ORIGINS: `me:${canary}@example.com`,
      TICKETGATE_PORT: 'x',
    },
    flags: [
      '--jwt-secret',
      canary,
      `--admin-key=${canary}`,
      `--jwt-secrets=${canary}`,
      '--secret',
      canary,
      canary,
    ],
    ...{ options: { secret: canary } as object },
  })
  t.equal(problems.length, 14)
  t.notMatch(problems.join('\n'), canary)
  for (const problem of problems) t.match(problem, /^[\w -]+: \S/)
})

t.test('the configuration cannot be changed', async t => {
  t.ok(Object.isFrozen(fromEnv({})))
})

t.test('help lists every variable in at most 100 columns', async t => {
  const help = helpText()
  const listed = [...help.matchAll(/^.* (TICKETGATE_\w+)$/gm)].map(([, name]) => name)
  t.strictSame(listed, variables)
  for (const line of help.split('\n')) t.ok(line.length <= 100 && line === line.trimEnd(), line)
  t.match(
    help,
    /--ticket-ttl-seconds N +TICKETGATE_TICKET_TTL_SECONDS\n +Lifetime of a ticket\n +1 to 3600 seconds; default: 10\n/,
  )
  t.match(help, /\(no flag\) +TICKETGATE_JWT_SECRET\n/)
  t.match(help, /--jwt-secret-file PATH +TICKETGATE_JWT_SECRET_FILE\n/)
  t.match(help, 'Secrets have no flag, because arguments are visible')
})

t.test('the table has a row for every variable', async t => {
  const rows = optionsTable().split('\n')
  t.strictSame(rows.slice(0, 2), [
    '| variable | flag | option | meaning | default | values |',
    '| --- | --- | --- | --- | --- | --- |',
  ])
  t.strictSame(
    rows.slice(2).map(row => row.split('`')[1]),
    variables,
  )
  t.ok(
    rows.includes(
      '| `TICKETGATE_TICKET_TTL_SECONDS` | `--ticket-ttl-seconds` | `ticketTtlSeconds` | Lifetime of a ticket | 10 | 1 to 3600 seconds |',
    ),
  )
  t.ok(rows.some(row => row.startsWith('| `TICKETGATE_JWT_SECRET` | none | `jwtSecret` |')))
})
