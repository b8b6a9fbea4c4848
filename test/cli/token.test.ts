import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { stringify } from 'yaml'
import { exitCodeOf } from '../../src/cli/run.js'
import { bearer, type Json, jsonOf, postJson, request } from '../support/http.js'
import { keysFetched } from '../support/nodes.js'
import { text as answering, jwks, newKey, signedBy, startProvider } from '../support/provider.js'
import {
  adminKey,
  development,
  type Environment,
  run,
  startServer,
  temporaryDirectory,
} from '../support/server.js'
import { claimsFor, nowSeconds, signText } from '../support/tokens.js'

const secret = 'explain-tests-share-Vq3n8Zt1Lw6Xc9Rb2Md5Kf7'
const key = newKey('RS256', 'one')

interface Explained {
  readonly code: number | undefined
  readonly out: string
  readonly err: string
}

/** On a busy machine the fetch of keys can time out: then the command is run again. */
const explain = async (env: Environment, input: string, ...args: string[]): Promise<Explained> => {
  for (;;) {
    const explained = await explainOnce(env, input, ...args)
    if (!explained.err.includes('no answer within')) return explained
  }
}

const explainOnce = async (env: Environment, input: string, ...args: string[]): Promise<Explained> => {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  stdin.end(input)
  const code = await exitCodeOf('token', ['explain', ...args], { env, stdin, stdout, stderr })
  stdout.end()
  stderr.end()
  return { code, out: await text(stdout), err: await text(stderr) }
}

const hs = (claims: Json = {}, by = secret): string =>
  signText(
    '{"alg":"HS256","typ":"JWT"}',
    JSON.stringify({ ...claimsFor('maggie'), iss: 'shop', ...claims }),
    by,
  )

const trader = { role: 'trader' }

/** An environment with two issuers: a shop with a secret, and a provider with keys. */
const environment = async (t: Test): Promise<Environment & { readonly TICKETGATE_STATE_DIR: string }> => {
  const provider = await startProvider(t, jwks(key))
  const directory = temporaryDirectory(t)
  const secretFile = join(directory, 'secret')
  writeFileSync(secretFile, secret)
  const file = join(directory, 'issuers.yaml')
  const rights = [
    { when: { claim: 'role', has: 'trader' }, publish: ['orders.${sub}'], subscribe: ['prices.*'] },
  ]
  writeFileSync(
    file,
    stringify([
      { issuer: 'shop', secretFile, rights, ticketClaims: ['org.id'] },
      { issuer: 'https://id.example/', jwksUrl: provider.url, audiences: 'gate', maxTtlSeconds: 700 },
    ]),
  )
  return { TICKETGATE_ISSUERS_FILE: file, TICKETGATE_STATE_DIR: temporaryDirectory(t) }
}

t.test('an accepted token is explained with its issuer, the checks and its rights', async t => {
  const exp = nowSeconds() + 500
  const { code, out, err } = await explain(
    await environment(t),
    `${hs({ ...trader, sid: 's-1', exp, org: { id: 'a\u001b' } })}\n`,
  )
  t.strictSame({ code, err }, { code: 0, err: '' })
  const checks = ['form', 'algorithm', 'signature', 'typ', 'user', 'times', 'issuer', 'audience']
  t.strictSame(
    [...out.matchAll(/^ok {2}(\w+)/gm)].map(([, name]) => name),
    [...checks, 'session', 'expiry', 'rights', 'claims', 'revocation'],
  )
  for (const line of [
    /^issuer +shop$/m,
    /^algorithm +HS256$/m,
    /^user +maggie$/m,
    /^session +s-1$/m,
    new RegExp(`^expires +${new Date(exp * 1000).toISOString()}$`, 'm'),
    /^publish +orders\.maggie$/m,
    /^subscribe +prices\.\*$/m,
    /^carries +id: "a\\u001b"$/m,
    /\naccepted\n$/,
  ])
    t.match(out, line)
})

t.test('the explanation agrees with the server, and does not show the token', async t => {
  const env = await environment(t)
  const server = await startServer(t, {
    env: { TICKETGATE_JWT_SECRET: undefined, TICKETGATE_LOG_LEVEL: 'debug', ...env },
    stateDir: env.TICKETGATE_STATE_DIR,
  })
  await keysFetched(server)
  const id = (changes: Json = {}, header: Json = {}): string =>
    signedBy(key, { iss: 'https://id.example/', aud: 'gate', ...changes }, header)
  const now = nowSeconds()
  const cases: [name: string, token: string, last: string | undefined, refused: RegExp | undefined][] = [
    ['a good token', hs(trader), 'revocation', undefined],
    ['a good token of the provider', id(), 'revocation', undefined],
    ['not a token', 'hello', undefined, /^no {2}malformed /m],
    [
      'a payload that is not an object',
      signText('{"alg":"HS256"}', '[]', secret),
      'form',
      /^no {2}malformed /m,
    ],
    ['an unknown issuer', hs({ iss: 'theirs' }), 'form', /^no {2}issuer /m],
    [
      'an issuer without its trailing slash',
      id({ iss: 'https://id.example' }),
      'form',
      /differ by a trailing slash/,
    ],
    ['an algorithm of another issuer', hs({ iss: 'https://id.example/' }), 'form', /^no {2}algorithm /m],
    ['the algorithm none', signText('{"alg":"none"}', '{}', ''), undefined, /^no {2}algorithm /m],
    ['signed with another secret', hs(trader, `${secret}1`), 'algorithm', /^no {2}signature /m],
    [
      'signed by an unknown key',
      signedBy(newKey('RS256', 'two'), { iss: 'https://id.example/' }),
      'algorithm',
      /key_unknown/,
    ],
    ['a logout token', id({}, { typ: 'logout+jwt' }), 'signature', /^no {2}typ /m],
    ['no user', id({ sub: undefined }), 'typ', /^no {2}subject_missing /m],
    ['no expiry', id({ exp: undefined }), 'user', /^no {2}claim_missing:exp /m],
    ['too long a lifetime', id({ exp: now + 900 }), 'user', /^no {2}lifetime /m],
    ['issued tomorrow', id({ iat: now + 86_400, exp: now + 86_500 }), 'user', /^no {2}not_yet_valid /m],
    ['another audience', id({ aud: ['shop'] }), 'issuer', /^no {2}audience /m],
    ['an invalid session', id({ sid: 5 }), 'audience', /^no {2}claim_type:sid /m],
    ['expired yesterday', id({ iat: now - 86_400, exp: now - 86_000 }), 'session', /^no {2}expired /m],
    ['no rights', hs(), 'expiry', /^no {2}no_rights .*none of the rules/m],
    ['a user with a dot', hs({ ...trader, sub: 'a.b' }), 'revocation', undefined],
    ['a user with invisible control characters', id({ sub: '\u202e\u200b' }), 'revocation', undefined],
    [
      'an issuer with escape sequences',
      id({ iss: '\u001b[2J\u009b' }),
      'form',
      /^issuer +\\u\{1b\}\[2J\\u\{9b\}$/m,
    ],
  ]
  for (const [name, token, last, refused] of cases) {
    const { code, out, err } = await explain(env, token)
    t.equal([...out.matchAll(/^ok {2}(\w+)/gm)].at(-1)?.[1], last, name)
    t.equal(code, refused === undefined ? 0 : 1, name)
    t.match(out, refused ?? /\naccepted\n$/, name)
    t.equal(err, '', name)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the test looks for them
    t.notMatch(out, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]/, name)
    if (token.length > 20)
      for (const part of token.split('.').filter(Boolean)) t.notOk(out.includes(part), name)
    t.notOk(out.includes(secret), name)
    const { status } = await request(server.url, '/ws_ticket', { headers: bearer(token) })
    t.equal(status === 200, code === 0, `${name}: status ${status}`)
  }
})

t.test('a matching rule with a pattern that cannot be filled in causes a hint', async t => {
  const { code, out } = await explain(await environment(t), hs({ ...trader, sub: 'maggie.smith' }))
  t.equal(code, 0)
  t.match(
    out,
    /^publish +nothing\nsubscribe +prices\.\*\n +hint: patterns with \$\{sub\} give nothing, since/m,
  )
})

t.test('a revoked token is explained as revoked', async t => {
  const env = await environment(t)
  const server = await startServer(t, {
    env: { TICKETGATE_JWT_SECRET: undefined, ...env },
    stateDir: env.TICKETGATE_STATE_DIR,
  })
  const token = hs(trader)
  t.equal((await explain(env, token)).code, 0)
  await postJson(server.admin, '/disconnect', { user: 'maggie' }, { headers: bearer(adminKey) })
  const { code, out } = await explain(env, token)
  t.equal(code, 1)
  t.match(out, /^ok {2}claims.*\nno {2}revoked /m)
})

t.test('the command uses the environment, flags, and the secret of development', async t => {
  const stateDir = temporaryDirectory(t)
  const env = { ...development, TICKETGATE_STATE_DIR: stateDir }
  const server = await startServer(t, { env, stateDir, users: { maggie: 'secret' } })
  const login = jsonOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: 'secret' }))
  const accepted = await run(['token', 'explain'], env, `Bearer ${login.token}`)
  t.match(accepted, { code: 0, stderr: '', stdout: /^publish +every channel$/m })
  t.match(await run(['token', 'explain', '--jwt-audience=gate'], env, String(login.token)), {
    code: 1,
    stdout: /^no {2}audience /m,
  })
  const elsewhere = { ...env, TICKETGATE_STATE_DIR: temporaryDirectory(t) }
  t.match(await run(['token', 'explain'], elsewhere, String(login.token)), {
    code: 1,
    stdout: /^no {2}signature /m,
  })
})

t.test('if the provider cannot be reached, standard error says why', async t => {
  const provider = await startProvider(t, answering('', 500))
  const { code, out, err } = await explain(
    { TICKETGATE_JWKS_URL: provider.url, TICKETGATE_STATE_DIR: temporaryDirectory(t) },
    signedBy(key),
  )
  t.equal(code, 1)
  t.match(out, /^no {2}keys_unavailable /m)
  t.match(
    err,
    /^ticketgate: http:\/\/127\.0\.0\.1:\d+: no keys from the identity provider; .*: status 500\n$/,
  )
})

t.test('wrong arguments are not repeated, because they may contain the token', async t => {
  const env = await environment(t)
  const token = hs(trader)
  for (const [args, code, err] of [
    [[token], 2, /expected an action: explain/],
    [[], 2, /expected an action: explain/],
    [['explain', token], 1, /argument 1: is not a flag/],
    [['explain', '--nonsense'], 2, /--nonsense: unknown flag/],
  ] as const) {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
    stdin.end(token)
    t.equal(await exitCodeOf('token', args, { env, stdin, stdout, stderr }), code)
    const said = stderr.read()?.toString() ?? ''
    t.match(said, err)
    t.notMatch(said, token)
    t.equal(stdout.read(), null)
  }
  for (const [input, err] of [
    ['', /there is no token on standard input/],
    [' \n', /there is no token on standard input/],
    ['a'.repeat(1024 * 1024 + 1), /there is more than one token on standard input/],
  ] as const)
    t.match(await explain(env, input), { code: 1, out: '', err })
  t.match(await explain({ ...env, TICKETGATE_PORT: 'x' }, token), {
    code: 1,
    out: '',
    err: /TICKETGATE_PORT/,
  })
  t.match(await explain(env, '', '--help'), { code: 0, out: /^Usage: ticketgate token explain/, err: '' })
})
