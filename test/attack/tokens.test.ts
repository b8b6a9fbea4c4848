import { createHmac, generateKeyPairSync, sign as signWith } from 'node:crypto'
import t, { type Test } from 'tap'
import { bearer, type Json, postJson, type Reply, request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { jwtSecret, startServer } from '../support/server.js'
import { openSession, socketUrl } from '../support/socket-client.js'
import {
  base64url,
  claimsFor,
  gatePath,
  mint,
  mintWith,
  nowSeconds,
  signText,
  tokenFor,
} from '../support/tokens.js'

const day = 86_400
const header = '{"alg":"HS256","typ":"JWT"}'
const server = await startServer(t)

const present = (token: string): Promise<Reply> =>
  request(server.url, '/ws_ticket', { headers: bearer(token) })

const isRefused = async (t: Test, name: string, token: string, code = 'token_invalid'): Promise<void> => {
  const reply = await present(token)
  isProblem(t, reply, `401 ${code}`, name)
  t.match(reply.headers['www-authenticate'], /^Bearer .*error="invalid_token"/, `${name}: the challenge`)
}

const withPayload = (payload: string): string => signText(header, payload)
const goodPayload = (): string => JSON.stringify(claimsFor('maggie'))
const swap = (token: string, part: number, text: string): string =>
  token
    .split('.')
    .map((old, index) => (index === part ? text : old))
    .join('.')

t.test('the valid token from which the invalid ones are made is accepted', async t => {
  t.equal((await present(tokenFor('maggie'))).status, 200)
})

t.test('tokens with another algorithm, a bad signature or a bad header are refused', async t => {
  const good = tokenFor('maggie')
  const [head = '', payload = '', signature = ''] = good.split('.')
  const unsigned = (alg: string) => `${base64url(`{"alg":"${alg}","typ":"JWT"}`)}.${payload}.`
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const es256Input = `${base64url('{"alg":"ES256","typ":"JWT"}')}.${payload}`
  const es256 = signWith('sha256', Buffer.from(es256Input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const cases = [
    ['alg none', unsigned('none')],
    ['alg None', unsigned('None')],
    ['alg NONE with a signature', unsigned('NONE') + signature],
    ['alg nOnE', unsigned('nOnE')],
    ['alg empty', unsigned('')],
    ['alg HS256 in lower case', signText('{"alg":"hs256","typ":"JWT"}', goodPayload())],
    ['alg absent', signText('{"typ":"JWT"}', goodPayload())],
    ['alg a number', signText('{"alg":256,"typ":"JWT"}', goodPayload())],
    ['alg a list', signText('{"alg":["HS256"],"typ":"JWT"}', goodPayload())],
    ['alg RS256 over an HMAC', signText('{"alg":"RS256","typ":"JWT"}', goodPayload())],
    ['alg ES256 with a key of its own', `${es256Input}.${es256.toString('base64url')}`],
    ['alg ES256 with a signature of zeros', `${es256Input}.${Buffer.alloc(64).toString('base64url')}`],
    [
      'alg HS512, which is not on the list',
      signText('{"alg":"HS512","typ":"JWT"}', goodPayload(), jwtSecret, 'sha512'),
    ],
    [
      'alg HS384, which is not on the list',
      signText('{"alg":"HS384","typ":"JWT"}', goodPayload(), jwtSecret, 'sha384'),
    ],
    ['alg HS256, but signed with HS512', signText(header, goodPayload(), jwtSecret, 'sha512')],
    ['another key', signText(header, goodPayload(), `${jwtSecret}.`)],
    ['an empty key', signText(header, goodPayload(), '')],
    ['no signature', `${head}.${payload}.`],
    ['two parts', `${head}.${payload}`],
    ['four parts', `${good}.${signature}`],
    ['five parts, like a JWE', `${head}.${payload}.${payload}.${payload}.${signature}`],
    ['a truncated signature', good.slice(0, -4)],
    [
      'a signature with one character changed',
      swap(good, 2, (signature[0] === 'A' ? 'B' : 'A') + signature.slice(1)),
    ],
    ['the claims of another token', swap(good, 1, base64url(JSON.stringify(claimsFor('admin'))))],
    [
      'a key offered in the header',
      signText('{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AAAA"}}', goodPayload(), '\0\0\0'),
    ],
    [
      'an unknown critical header',
      signText('{"alg":"HS256","typ":"JWT","crit":["exp2"],"exp2":1}', goodPayload()),
    ],
    ['typ of another kind', signText('{"alg":"HS256","typ":"dpop+jwt"}', goodPayload())],
    ['typ a number', signText('{"alg":"HS256","typ":5}', goodPayload())],
    ['a header that is not JSON', signText('{"alg":', goodPayload())],
    ['a header that is null', signText('null', goodPayload())],
    ['three empty parts', '..'],
    ['a word', 'token'],
    ['3000 times A', 'A'.repeat(3000)],
  ] as const
  for (const [name, token] of cases) await isRefused(t, name, token)
})

t.test('tokens with invalid claims are refused', async t => {
  const now = nowSeconds()
  const claims = (changes: Json) => withPayload(JSON.stringify({ ...claimsFor('maggie'), ...changes }))
  const raw = (exp: string, iat = String(now)) => withPayload(`{"sub":"maggie","iat":${iat},"exp":${exp}}`)
  const cases = [
    ['no exp', claims({ exp: undefined })],
    ['exp null', claims({ exp: null })],
    ['exp 1e400', raw('1e400')],
    ['exp -1e400', raw('-1e400')],
    ['exp a string', claims({ exp: String(now + 60) })],
    ['exp a list', claims({ exp: [now + 60] })],
    ['exp true', claims({ exp: true })],
    ['exp in milliseconds', claims({ exp: Date.now() + 60_000 })],
    ['exp 2^53', claims({ exp: 2 ** 53 })],
    ['iat missing', claims({ iat: undefined })],
    ['iat in the future', claims({ iat: now + 60 })],
    ['iat far in the future, exp beyond', claims({ iat: now + 3600, exp: now + 7200 })],
    ['iat a string', claims({ iat: String(now) })],
    ['iat 1e400', raw(String(now + 60), '1e400')],
    ['iat -1e400', raw(String(now + 60), '-1e400')],
    ['iat negative', claims({ iat: -1 })],
    ['a life of a second over 24 hours', claims({ iat: now, exp: now + day + 1 })],
    ['a life of 48 hours that began yesterday', claims({ iat: now - day, exp: now + day })],
    ['nbf in the future', claims({ nbf: now + 60 })],
    ['sub missing', claims({ sub: undefined })],
    ['sub null', claims({ sub: null })],
    ['sub a number', claims({ sub: 5 })],
    ['sub empty', claims({ sub: '' })],
    ['sub a list', claims({ sub: ['maggie'] })],
    ['sub an object', claims({ sub: { toString: 'maggie' } })],
    ['sub of 257 bytes', claims({ sub: 'a'.repeat(257) })],
    ['sub of 86 characters and 258 bytes', claims({ sub: '€'.repeat(86) })],
    ['sub with a line break', claims({ sub: 'maggie\n' })],
    ['sub with a NUL', claims({ sub: 'mag\0gie' })],
    ['sub with a DEL', claims({ sub: 'mag\x7fgie' })],
    ['sub with a C1 control', claims({ sub: 'mag\x85gie' })],
    ['sub with half a surrogate pair', withPayload(goodPayload().replace('maggie', 'mag\\ud83egie'))],
    ['half a surrogate pair elsewhere', claims({ name: '\udc00' })],
    ['sub twice', withPayload(goodPayload().replace('{', '{"sub":"admin",'))],
    ['a member twice, deep inside', withPayload(goodPayload().replace('{', '{"a":{"b":1,"b":2},'))],
    ['aud a number', claims({ aud: 5 })],
    ['aud null', claims({ aud: null })],
    ['aud an object', claims({ aud: { gate: true } })],
    ['aud a list with a number', claims({ aud: ['gate', 5] })],
    ['a payload that is a list', withPayload('[]')],
    ['a payload that is a string', withPayload('"maggie"')],
    ['a payload that is null', withPayload('null')],
    ['a payload that is not JSON', withPayload('{"sub":')],
    ['an empty payload', withPayload('')],
  ] as const
  for (const [name, token] of cases) await isRefused(t, name, token)
})

t.test('a payload that is not UTF-8 is refused', async t => {
  const text = `${base64url(header)}.${Buffer.from(goodPayload().replace('maggie', 'mag\xff'), 'latin1').toString('base64url')}`
  await isRefused(
    t,
    'a byte 0xff',
    `${text}.${createHmac('sha256', jwtSecret).update(text).digest('base64url')}`,
  )
})

t.test('a token of 10 KB is refused', async t => {
  const reply = await present(tokenFor('a'.repeat(10_240)))
  t.ok([400, 401, 431].includes(reply.status), String(reply.status))
})

t.test('an expired token has its own code, and a negative exp is refused', async t => {
  const now = nowSeconds()
  await isRefused(t, 'a second ago', tokenFor('maggie', { iat: now - 60, exp: now - 1 }), 'token_expired')
  await isRefused(t, 'years ago', tokenFor('maggie', { iat: 1_000_000, exp: 1_000_060 }), 'token_expired')
  const negative = await present(tokenFor('maggie', { exp: -1 }))
  t.equal(negative.status, 401)
  t.match(negative.text, /token_(expired|invalid)/)
})

t.test('tokens at the limits are accepted', async t => {
  const now = nowSeconds()
  const cases = [
    ['a life of exactly 24 hours', tokenFor('maggie', { iat: now, exp: now + day })],
    [
      'times with fractions (RFC 7519 section 2)',
      tokenFor('maggie', { iat: now - 0.5, exp: now + 60.25, nbf: now - 0.1 }),
    ],
    ['iat ahead by less than the skew', tokenFor('maggie', { iat: now + 3 })],
    ['sub of 256 bytes', tokenFor('a'.repeat(256))],
    ['sub of 85 characters and 255 bytes', tokenFor('€'.repeat(85))],
    ['additional claims', tokenFor('maggie', { jti: 'x', role: { deep: [1] }, nbf: now - 1 })],
  ] as const
  for (const [name, token] of cases) t.equal((await present(token)).status, 200, name)
})

t.test('a token is not accepted as a ticket, nor a ticket as a token', async t => {
  const token = tokenFor('maggie')
  isProblem(t, await requestUpgrade(server.url, gatePath(token)), '401 token_in_url', 'a token in the query')
  t.match(
    (await requestUpgrade(server.url, gatePath(token))).text,
    /ws_ticket/,
    'the detail says where to get tickets',
  )
  isProblem(
    t,
    await requestUpgrade(server.url, gatePath(tokenFor('x', { exp: 1 }))),
    '401 token_in_url',
    'an expired token in the query',
  )
  isProblem(
    t,
    await requestUpgrade(server.url, '/channel/', {
      headers: { 'sec-websocket-protocol': `ticketgate.v1.json, ticket.${token}` },
    }),
    '401 token_in_url',
    'a token in the subprotocols',
  )
  const ticket = await mint(server.url)
  await isRefused(t, 'a ticket as a bearer token', ticket)
  t.equal((await requestUpgrade(server.url, gatePath(ticket))).status, 101, 'the ticket is not spent')
  isProblem(
    t,
    await requestUpgrade(server.url, '/channel/', { headers: bearer(token) }),
    '401 ticket_missing',
    'a bearer token in a handshake',
  )
})

t.test('a token is read from the Authorization header only', async t => {
  const token = tokenFor('maggie')
  const cases = [
    ['no header', '/ws_ticket', {}],
    ['in the query', `/ws_ticket?token=${token}&access_token=${token}`, {}],
    ['in a cookie', '/ws_ticket', { cookie: `token=${token}` }],
    ['as Basic', '/ws_ticket', { authorization: `Basic ${token}` }],
    ['without a scheme', '/ws_ticket', { authorization: token }],
  ] as const
  for (const [name, path, headers] of cases) {
    const reply = await request(server.url, path, { headers })
    t.equal(reply.status, 401, name)
    t.match(reply.text, /"code":\s*"token_(missing|invalid)"/, name)
    t.match(reply.headers['www-authenticate'], /^Bearer\b/, `${name}: the challenge`)
  }
  const lower = await request(server.url, '/ws_ticket', { headers: { authorization: `bearer ${token}` } })
  t.equal(lower.status, 200, 'the scheme is case-insensitive (RFC 9110 section 11.1)')
})

t.test('a token seen before admits neither a forged copy nor itself after its expiry', async t => {
  const short = tokenFor('maggie', { exp: nowSeconds() + 10 })
  t.equal((await present(short)).status, 200)
  await isRefused(t, 'the same token with another signature', swap(short, 2, 'A'.repeat(43)))
  const early = (await mintWith(server.url, short)).ticket
  const late = (await mintWith(server.url, short)).ticket
  const { client, welcome } = await openSession(socketUrl(server.url, gatePath(early)))
  t.type(welcome.expires, 'number')
  t.match(await client.closed, { code: 4401, reason: /session_expired/ }, 'its socket ends with the token')
  await isRefused(t, 'the token after its expiry', short, 'token_expired')
  const upgraded = await requestUpgrade(server.url, gatePath(late))
  t.equal(upgraded.status, 401, 'its ticket ends with the token')
  t.match(upgraded.text, /"code":\s*"(ticket|token)_expired"/)
})

t.test('the issuer and the audience are checked if configured', async t => {
  const strict = await startServer(t, {
    users: { maggie: 'secret' },
    env: { TICKETGATE_JWT_ISSUER: 'https://id.test', TICKETGATE_JWT_AUDIENCE: 'gate' },
  })
  const good = { iss: 'https://id.test', aud: 'gate' }
  const cases = [
    ['both right', good, 200],
    ['the audience among others', { ...good, aud: ['other', 'gate'] }, 200],
    ['no issuer', { ...good, iss: undefined }, 401],
    ['another issuer', { ...good, iss: 'https://id.test.evil' }, 401],
    ['an issuer list', { ...good, iss: ['https://id.test'] }, 401],
    ['no audience', { ...good, aud: undefined }, 401],
    ['another audience', { ...good, aud: 'gate2' }, 401],
    ['an empty list of audiences', { ...good, aud: [] }, 401],
    ['an audience in another case', { ...good, aud: 'Gate' }, 401],
  ] as const
  for (const [name, claims, status] of cases) {
    const reply = await request(strict.url, '/ws_ticket', { headers: bearer(tokenFor('maggie', claims)) })
    if (status === 200) t.equal(reply.status, 200, name)
    else isProblem(t, reply, '401 token_invalid', name)
  }
  const login = await postJson(strict.url, '/auth', { user: 'maggie', pwd: 'secret' })
  const { token } = JSON.parse(login.text) as { token: string }
  t.equal(
    (await request(strict.url, '/ws_ticket', { headers: bearer(token) })).status,
    200,
    'the tokens that the gate issues have both',
  )
})
