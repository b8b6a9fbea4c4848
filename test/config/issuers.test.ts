import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { issuersSchema } from '../../src/config/issuer-fields.js'
import { type IssuerConfig, readIssuersFile } from '../../src/config/issuers.js'
import { resolveConfig } from '../../src/config/resolve.js'
import { StartupError } from '../../src/errors.js'
import { temporaryDirectory } from '../support/fixtures.js'
import type { Json } from '../support/http.js'

const defaults = { production: true, skewSeconds: 5, maxTtlSeconds: 86_400, own: undefined }

const directory = temporaryDirectory(t)
const fileOf = (name: string, text: string): string => {
  const file = join(directory, name)
  writeFileSync(file, text)
  return file
}

const secretFile = fileOf('secret', 'issuers-tests-share-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7\n')
const otherSecretFile = fileOf('other', 'issuers-tests-share-Bz4k7Tq9Xe2Lm5Yw8Ra3Hc6')
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const publicKeyFile = fileOf('public.pem', publicKey.export({ type: 'spki', format: 'pem' }).toString())

const jwks = { issuer: 'https://id.example/', jwksUrl: 'https://id.example/keys', audiences: ['gate'] }

const rights = (rules: unknown): Json => ({ ...jwks, rights: rules })

const readText = (text: string, changes: Partial<typeof defaults> = {}): readonly IssuerConfig[] =>
  readIssuersFile(fileOf('issuers.yaml', text), { ...defaults, ...changes })

const validate = new Ajv2020({ strict: false, formats: { uri: true } }).compile(issuersSchema)

const complete = {
  audienceClaim: 'aud',
  userClaim: 'sub',
  sessionClaim: 'sid',
  skewSeconds: 5,
  maxTtlSeconds: 86_400,
  algorithms: undefined,
  requireTyp: undefined,
  rights: undefined,
  ticketClaims: [],
  logout: undefined,
}

t.test('a file is YAML or JSON, and holds a list or an object with a list', async t => {
  const expected = [
    {
      ...complete,
      name: { exactly: 'https://id.example/' },
      keys: { from: 'jwks', url: 'https://id.example/keys', caFile: undefined, allowHttp: false },
      audiences: ['gate'],
    },
  ]
  for (const text of [
    stringify([jwks]),
    stringify({ issuers: [jwks] }),
    JSON.stringify([jwks]),
    JSON.stringify({ issuers: [jwks] }, undefined, 2),
    '# ours\n- issuer: https://id.example/ # with its slash\n  jwksUrl: https://id.example/keys\n  audiences: gate\n',
  ])
    t.strictSame(readText(text), expected, text)
})

t.test('all fields are read', async t => {
  const [found] = readText(
    stringify([
      {
        issuerPattern: 'https://login.example/{tid}/v2.0',
        jwksUrl: 'https://login.example/common/keys',
        caFile: undefined,
        audiences: ['a', 'b', 'a'],
        audienceClaim: 'client_id',
        algorithms: ['RS256', 'Ed25519'],
        userClaim: ['https://example.com/user', 'name'],
        sessionClaim: 'session_id',
        skewSeconds: 0,
        maxTtlSeconds: 3600,
        requireTyp: 'at+jwt',
        ticketClaims: ['email', 'realm_access.org-id', ['https://example.com/roles'], 'cognito:groups'],
        allowHttp: true,
        rights: [
          { when: { claim: 'realm_access.roles', has: 'trader' }, publish: ['orders.${sub}'] },
          { when: { claim: ['a.b', 'c'], has: ['x', 'y'] }, subscribe: 'prices.*' },
          { subscribe: ['news', 'user:${https://example.com/name}:*'] },
        ],
      },
    ]),
  )
  t.match(found, {
    name: { pattern: 'https://login.example/{tid}/v2.0' },
    keys: { from: 'jwks', allowHttp: true },
    audiences: ['a', 'b'],
    audienceClaim: 'client_id',
    algorithms: ['RS256', 'Ed25519'],
    userClaim: ['https://example.com/user', 'name'],
    sessionClaim: 'session_id',
    skewSeconds: 0,
    maxTtlSeconds: 3600,
    requireTyp: 'at+jwt',
    rights: [
      {
        when: { claim: 'realm_access.roles', has: ['trader'] },
        publish: ['orders.${sub}'],
        subscribe: [],
      },
      { when: { claim: ['a.b', 'c'], has: ['x', 'y'] }, publish: [], subscribe: ['prices.*'] },
      { when: undefined, publish: [], subscribe: ['news', 'user:${https://example.com/name}:*'] },
    ],
    ticketClaims: [
      { path: 'email', name: 'email' },
      { path: 'realm_access.org-id', name: 'org-id' },
      { path: ['https://example.com/roles'], name: 'roles' },
      { path: 'cognito:groups', name: 'groups' },
    ],
  })
})

t.test('the fields for logout tokens are read', async t => {
  const cases: [fields: Json, logout: unknown][] = [
    [{ backchannelLogout: true }, { audiences: ['gate'], ends: 'session' }],
    [
      { backchannelLogout: 'user', logoutAudiences: ['web', 'app'] },
      { audiences: ['web', 'app'], ends: 'user' },
    ],
    [{ backchannelLogout: false, logoutAudiences: 'web' }, undefined],
  ]
  for (const [fields, logout] of cases)
    t.strictSame(readText(stringify([{ ...jwks, ...fields }]))[0]?.logout, logout)
})

t.test('keys come from discovery, a URL, secrets or public keys', async t => {
  const ways: [Json, Json][] = [
    [
      { issuer: 'https://a.example', discover: true, audiences: 'x' },
      { from: 'discovery', issuer: 'https://a.example' },
    ],
    [
      { issuer: 'b', secretFile },
      { from: 'secrets', files: [secretFile] },
    ],
    [
      { issuer: 'c', secretFile: [secretFile, otherSecretFile] },
      { from: 'secrets', files: [secretFile, otherSecretFile] },
    ],
    [
      { issuer: 'd', publicKeyFile, audiences: 'x' },
      { from: 'publicKeys', files: [publicKeyFile] },
    ],
    [
      { ...jwks, jwksUrl: 'http://127.0.0.1:1/keys' },
      { from: 'jwks', url: 'http://127.0.0.1:1/keys' },
    ],
    [
      { ...jwks, jwksUrl: 'http://keycloak.svc/keys', allowHttp: true },
      { from: 'jwks', allowHttp: true },
    ],
  ]
  for (const [entry, keys] of ways)
    t.match(readText(stringify([entry]))[0]?.keys, keys, JSON.stringify(entry))
})

/** Expects each entry to be refused, with its index in the list. */
const refuses = (t: Test, cases: readonly [name: string, entry: unknown, problem: RegExp][]): void => {
  for (const [name, entry, problem] of cases) {
    t.throws(() => readText(stringify([entry])), { message: problem }, name)
    t.throws(
      () => readText(stringify([jwks, entry])),
      { message: /issuers\[1\]/ },
      `${name}, as the second issuer`,
    )
  }
}

t.test('an issuer needs a name and one source of keys', async t => {
  refuses(t, [
    ['not an object', 'https://id.example', /issuers\[0\] is not an object/],
    [
      'an unknown field',
      { ...jwks, jwksUri: 'x' },
      /issuers\[0\]\.jwksUri is unknown: expected one of issuer, .*jwksUrl/,
    ],
    [
      'no name',
      { jwksUrl: jwks.jwksUrl, audiences: 'a' },
      /issuers\[0\] must have exactly one of issuer and issuerPattern/,
    ],
    [
      'two names',
      { ...jwks, issuerPattern: 'https://x/{tid}' },
      /issuers\[0\] must have exactly one of issuer/,
    ],
    [
      'a pattern without {tid}',
      { ...jwks, issuer: undefined, issuerPattern: 'https://x/' },
      /issuerPattern does not have \{tid\} once/,
    ],
    ['no keys', { issuer: 'a', audiences: 'b' }, /must have exactly one of jwksUrl, discover/],
    ['two kinds of keys', { ...jwks, secretFile }, /must have exactly one of jwksUrl, discover/],
    ['a number instead of text', { ...jwks, issuer: 5 }, /issuers\[0\]\.issuer is not text/],
    [
      'text instead of a boolean',
      { issuer: 'https://a.example', discover: 'yes' },
      /issuers\[0\]\.discover is neither true nor false/,
    ],
    [
      'a URL without TLS',
      { ...jwks, jwksUrl: 'http://id.example/keys' },
      /jwksUrl without TLS: .*allowHttp: true/,
    ],
    ['not a URL', { ...jwks, jwksUrl: 'id.example' }, /jwksUrl, which is not an https URL/],
    [
      'a password in the URL',
      { ...jwks, jwksUrl: 'https://me:sesame@id.example/' },
      /jwksUrl, which is not an https URL/,
    ],
    [
      'discovery of a name that is not a URL',
      { issuer: 'auth', discover: true, audiences: 'a' },
      /issuer, which is not an https URL/,
    ],
    [
      'discovery of a pattern',
      { issuerPattern: 'https://x/{tid}', discover: true, audiences: 'a' },
      /write jwksUrl/,
    ],
  ])
})

t.test('invalid audiences, algorithms and claims are refused', async t => {
  refuses(t, [
    [
      'no audience in production',
      { ...jwks, audiences: undefined },
      /has no audiences, which are required in production/,
    ],
    ['an empty list', { ...jwks, audiences: [] }, /issuers\[0\]\.audiences is not a list of texts/],
    [
      'a skew out of range',
      { ...jwks, skewSeconds: 301 },
      /issuers\[0\]\.skewSeconds is out of range: give a whole number from 0 to 300/,
    ],
    ['a skew with a fraction', { ...jwks, skewSeconds: 1.5 }, /issuers\[0\]\.skewSeconds is out of range/],
    [
      'an unknown algorithm',
      { ...jwks, algorithms: ['RS1'] },
      /issuers\[0\]\.algorithms names "RS1": use one or more of HS256/,
    ],
    ['the algorithm none', { ...jwks, algorithms: ['none'] }, /issuers\[0\]\.algorithms names "none"/],
    [
      'a symmetric algorithm for public keys',
      { ...jwks, algorithms: ['RS256', 'HS256'] },
      /algorithms with HS256, for which it has no keys/,
    ],
    [
      'an asymmetric algorithm for a secret',
      { issuer: 'a', secretFile, algorithms: 'RS256' },
      /algorithms with RS256, for which/,
    ],
    [
      'a claim without a name',
      { ...jwks, userClaim: '' },
      /issuers\[0\]\.userClaim is not the name of a claim/,
    ],
    [
      'logouts without an audience',
      { issuer: 'a', secretFile, backchannelLogout: true },
      /issuers\[0\] has backchannelLogout, but no logoutAudiences/,
    ],
    [
      'logouts of an unknown kind',
      { ...jwks, backchannelLogout: 'all' },
      /backchannelLogout is not true, false or user/,
    ],
    [
      'ticket claims that are not a list',
      { ...jwks, ticketClaims: 'email' },
      /ticketClaims is not a list of claims/,
    ],
    [
      'a number among the ticket claims',
      { ...jwks, ticketClaims: [5] },
      /ticketClaims is not the name of a claim/,
    ],
    [
      'a ticket claim that cannot be in the name of a header',
      { ...jwks, ticketClaims: ['e mail'] },
      /ticketClaims does not end in names/,
    ],
    [
      'two ticket claims that would share a header',
      { ...jwks, ticketClaims: ['org_id', 'profile.Org-ID'] },
      /ticketClaims does not end in names that headers can distinguish/,
    ],
  ])
})

t.test('invalid files of keys are refused', async t => {
  const short = fileOf('short', 'short')
  const weak = fileOf('weak', 'a'.repeat(40))
  const noKey = fileOf('other.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
  refuses(t, [
    [
      'a secret that is too short',
      { issuer: 'a', secretFile: short },
      /the secret in .*short is shorter than 32 bytes/,
    ],
    ['a weak secret', { issuer: 'a', secretFile: weak }, /the secret in .*weak is weak/],
    [
      'a secret file that does not exist',
      { issuer: 'a', secretFile: '/nonexistent' },
      /cannot read \/nonexistent/,
    ],
    [
      'a file that holds no public key',
      { issuer: 'a', audiences: 'b', publicKeyFile: noKey },
      /publicKeyFile .*is not a PEM file/,
    ],
    [
      'allowHttp for keys that are not fetched',
      { issuer: 'a', secretFile, allowHttp: true },
      /its keys are not fetched/,
    ],
  ])
})

t.test('invalid rules and conditions of rights are refused', async t => {
  refuses(t, [
    [
      'rights that are not a list',
      rights({ publish: 'a' }),
      /issuers\[0\]\.rights is not a list of 1 to 64 rules/,
    ],
    ['an empty list of rules', rights([]), /issuers\[0\]\.rights is not a list of 1 to 64 rules/],
    [
      '65 rules',
      rights(Array.from({ length: 65 }, () => ({ publish: 'a' }))),
      /issuers\[0\]\.rights is not a list of 1 to 64 rules/,
    ],
    [
      'a rule that is not an object',
      rights([{ publish: 'a' }, 5]),
      /issuers\[0\]\.rights\[1\] is not an object/,
    ],
    [
      'a rule that grants nothing',
      rights([{ when: { claim: 'a', has: 'b' } }]),
      /issuers\[0\]\.rights\[0\] gives no right/,
    ],
    [
      'an unknown member of a rule',
      rights([{ publsh: 'a' }]),
      /issuers\[0\]\.rights\[0\]\.publsh is unknown: expected one of when, publish, subscribe/,
    ],
    [
      'an unknown member of a condition',
      rights([{ publish: 'a', when: { claim: 'a', is: 'b' } }]),
      /issuers\[0\]\.rights\[0\]\.when\.is is unknown: expected one of claim, has/,
    ],
    [
      'half a condition',
      rights([{ publish: 'a', when: { claim: 'a' } }]),
      /issuers\[0\]\.rights\[0\]\.when lacks claim or has/,
    ],
    [
      'a condition that is not an object',
      rights([{ publish: 'a', when: null }]),
      /issuers\[0\]\.rights\[0\]\.when is not an object/,
    ],
    [
      'a claim that is a number',
      rights([{ publish: 'a', when: { claim: 5, has: 'b' } }]),
      /issuers\[0\]\.rights\[0\]\.when\.claim is not the name of a claim/,
    ],
  ])
})

t.test('invalid channel patterns of rights are refused', async t => {
  refuses(t, [
    [
      'an empty list of patterns',
      rights([{ publish: [] }]),
      /issuers\[0\]\.rights\[0\]\.publish is not a list of texts/,
    ],
    [
      'an invalid pattern',
      rights([{ publish: ['ok', 'a/b'] }]),
      /issuers\[0\]\.rights\[0\]\.publish has "a\/b", which is not a channel name/,
    ],
    [
      'a star in the middle',
      rights([{ subscribe: 'a*b' }]),
      /subscribe has "a\*b", which is not a channel name/,
    ],
    ['a placeholder without a claim', rights([{ subscribe: 'a.${}' }]), /which names no claim/],
    ['an unclosed placeholder', rights([{ subscribe: 'a.${sub' }]), /which is not a channel name/],
    [
      'a star right after a placeholder',
      rights([{ subscribe: 'a.${sub}*' }]),
      /which has something other than a dot/,
    ],
    ['two adjacent placeholders', rights([{ publish: '${a}${b}' }]), /which has something other than a dot/],
    [
      'a dash right after a placeholder',
      rights([{ publish: '${a}-${b}' }]),
      /which has something other than a dot/,
    ],
  ])
})

t.test('all problems are reported at once', async t => {
  t.throws(() => readText(stringify([{ ...jwks, skewSeconds: -1, algorithms: 'x' }, 5])), {
    message: /issuers\[0\]\.skewSeconds.*\n.*issuers\[0\]\.algorithms.*\n.*issuers\[1\]/,
  })
})

t.test('a file without a usable list of issuers is refused', async t => {
  for (const [name, text, message] of [
    ['neither YAML nor JSON', '{', /is neither YAML nor JSON/],
    ['a field twice', '- issuer: a\n  issuer: b\n', /is neither YAML nor JSON: .*unique/],
    ['empty', '', /has no list of issuers/],
    ['not a list', 'issuer: a', /has no list of issuers/],
    ['an empty list', '[]', /has no list of issuers/],
    [
      '65 issuers',
      stringify(Array.from({ length: 65 }, (_, n) => ({ ...jwks, issuer: `i${n}` }))),
      /more than 64 issuers/,
    ],
  ] as const)
    t.throws(() => readText(text), { message }, name)
  t.throws(() => readIssuersFile('/nonexistent.yaml', defaults), {
    message: /cannot read \/nonexistent\.yaml/,
  })
})

t.test('a duplicate issuer name is refused, as is that of our own logins', async t => {
  t.throws(() => readText(stringify([jwks, jwks])), { message: /"https:\/\/id\.example\/" occurs twice/ })
  t.doesNotThrow(
    () => readText(stringify([jwks, { ...jwks, issuer: 'https://id.example' }])),
    'a trailing slash makes a different name',
  )
  const own = { own: { issuer: 'https://id.example/' } }
  t.throws(() => readText(stringify([jwks]), own as never), { message: /TICKETGATE_JWT_ISSUER/ })
})

t.test('the published schema is up to date and agrees with the parser', async t => {
  const published = readFileSync(new URL('../../docs/issuers.schema.json', import.meta.url), 'utf8')
  t.strictSame(
    JSON.parse(published),
    JSON.parse(JSON.stringify(issuersSchema)),
    'npx --no-install tsx test/docs/write-issuers-schema.ts writes it',
  )
  const good: unknown[] = [
    [jwks],
    { issuers: [jwks] },
    [{ issuer: 'a', secretFile }],
    [{ ...jwks, userClaim: ['a', 'b'] }],
    [rights([{ publish: 'a' }, { when: { claim: 'roles', has: ['a', 'b'] }, subscribe: ['c', 'd.*'] }])],
  ]
  for (const file of good) t.ok(validate(file), JSON.stringify([file, validate.errors]))
  const bad: unknown[] = [
    {},
    [],
    [5],
    [{ ...jwks, jwksUri: 'x' }],
    [{ issuer: 'a' }],
    [{ ...jwks, secretFile }],
    [{ ...jwks, skewSeconds: 301 }],
    [{ ...jwks, algorithms: ['none'] }],
    [{ ...jwks, audiences: [] }],
    [rights([])],
    [rights([{ when: { claim: 'a', has: 'b' } }])],
    [rights([{ publish: 'a', when: { claim: 'a' } }])],
    [rights([{ publish: 'a', when: { claim: 'a', has: 'b', or: 'c' } }])],
    [rights([{ publish: 'a', other: 'b' }])],
  ]
  for (const file of bad) {
    t.notOk(validate(file), JSON.stringify(file))
    t.throws(() => readText(JSON.stringify(file)), JSON.stringify(file))
  }
})

const problemsOf = (env: Record<string, string>): readonly string[] => {
  try {
    resolveConfig({ env })
    return []
  } catch (error) {
    return error instanceof StartupError ? error.message.split('\n') : [String(error)]
  }
}

const configures = (t: Test, name: string, env: Record<string, string>, expected: object): void => {
  t.match(resolveConfig({ env }), expected, name)
}

t.test('the variables of a single provider are equivalent to a file with one entry', async t => {
  const oidc = { TICKETGATE_OIDC_ISSUER: 'https://id.example/' }
  const jwksEnv = { TICKETGATE_JWKS_URL: 'https://id.example/keys', TICKETGATE_JWT_AUDIENCE: 'gate' }
  const file = { TICKETGATE_ISSUERS_FILE: fileOf('one.yaml', stringify([jwks])) }
  configures(t, 'discovery', oidc, {
    login: 'off',
    issuers: [{ name: { exactly: 'https://id.example/' }, keys: { from: 'discovery' }, audiences: [] }],
  })
  configures(t, 'keys at a URL', jwksEnv, {
    login: 'off',
    issuers: [{ name: undefined, audiences: ['gate'] }],
  })
  configures(t, 'a file', file, { login: 'off', issuers: [{ keys: { from: 'jwks' } }] })
  configures(t, 'a file beside our own logins', { ...file, TICKETGATE_LOGIN: 'on' }, { login: 'on' })
  configures(t, 'neither', {}, { login: 'on', issuers: [] })
  for (const env of [
    { ...oidc, ...jwksEnv },
    { ...oidc, ...file },
    { ...jwksEnv, ...file },
  ])
    t.match(problemsOf(env), [/set as well: put all issuers into the file/])
  t.match(problemsOf({ ...jwksEnv, TICKETGATE_LOGIN: 'on' }), [/cannot name both/])
  t.match(problemsOf({ TICKETGATE_LOGIN: 'off' }), [/nobody could log in/])
  t.match(problemsOf({ TICKETGATE_OIDC_ISSUER: 'http://id.example' }), [
    /TICKETGATE_OIDC_ISSUER: is not encrypted/,
  ])
  t.match(problemsOf({ TICKETGATE_OIDC_ISSUER: 'https://id.example/?a' }), [/has a query or fragment/])
  const production = { NODE_ENV: 'production', TICKETGATE_ADMIN_KEY: 'issuers-tests-Hs4Pq8Yn1Zw' }
  t.match(problemsOf({ ...production, ...oidc }), [/TICKETGATE_JWT_AUDIENCE: is required in production/])
  t.strictSame(problemsOf({ ...production, ...oidc, TICKETGATE_JWT_AUDIENCE: 'gate' }), [])
  t.match(problemsOf({ ...production, ...file, TICKETGATE_LOGIN: 'on' }), [
    /TICKETGATE_JWT_SECRET: is required/,
  ])
  const broken = fileOf('broken.yaml', stringify([{ ...jwks, skewSeconds: -1 }, 5]))
  t.match(problemsOf({ TICKETGATE_ISSUERS_FILE: broken }), [
    /^TICKETGATE_ISSUERS_FILE: in .*broken\.yaml: issuers\[0\]\.skewSeconds/,
    /^TICKETGATE_ISSUERS_FILE: in .*broken\.yaml: issuers\[1\]/,
  ])
})
