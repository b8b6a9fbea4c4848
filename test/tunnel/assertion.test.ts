import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { decodeProtectedHeader, jwtVerify } from 'jose'
import t from 'tap'
import { resolveConfig } from '../../src/config/resolve.js'
import { codeBlocks } from '../docs/markdown.js'
import { bearer, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { jwtSecret, temporaryDirectory } from '../support/server.js'
import { mintWith, nowSeconds, tokenFor } from '../support/tokens.js'
import { openThrough, startTunnels } from '../support/tunnel.js'
import { startUpstream } from '../support/upstream.js'

const secret = 'for-assertions-Kx7Qm2Tz9Wb4Lc8Rn5Vd1Hs'
const pem = (namedCurve: string): string =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const directory = temporaryDirectory(t)
const fileWith = (text: string, name = 'key'): string => {
  const file = join(directory, name)
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
const upstream = await startUpstream(t)
const url = `ws://127.0.0.1:${upstream.port}/`

for (const [algorithm, text] of [
  ['ES256', pem('prime256v1')],
  ['HS256', `${secret}\n`],
] as const)
  t.test(`the upstream server can verify the user by an assertion signed with ${algorithm}`, async t => {
    const gate = await startTunnels(t, `/docs/*=${url}`, {
      TICKETGATE_TUNNEL_ASSERTION_KEY_FILE: fileWith(text, algorithm),
    })
    const { ticket } = await mintWith(gate.url, tokenFor('Zoë', { sid: 'login-1', exp: nowSeconds() + 500 }))
    const { socket } = await openThrough(gate, '/docs/room', {
      ticket,
      headers: { 'x-ticket-assertion': 'from the client', x_ticket_assertion: 'from the client' },
    })
    const { headers } = (await upstream.next()).request
    const assertion = String(headers['x-ticket-assertion'])
    const key = algorithm === 'ES256' ? createPublicKey(text) : Buffer.from(secret)
    const { payload } = await jwtVerify(assertion, key, {
      issuer: 'ticketgate',
      audience: url,
      typ: 'ticket-assertion+jwt',
      algorithms: [algorithm],
    })
    const { iat = 0, exp, jti, ...claims } = payload
    t.strictSame(claims, {
      iss: 'ticketgate',
      aud: url,
      sub: 'Zoë',
      sid: 'login-1',
      channel: 'room',
      session_expires: Number(headers['x-ticket-expires']),
    })
    t.equal(exp, iat + 60)
    t.ok(jti)
    t.equal(decodeProtectedHeader(assertion).alg, algorithm)
    t.notOk('x_ticket_assertion' in headers)
    isProblem(
      t,
      await request(gate.url, '/ws_ticket', { headers: bearer(assertion) }),
      '401 token_invalid',
      'an assertion is not accepted as a token',
    )
    socket.terminate()
  })

t.test('the jose recipe in the documentation works', async t => {
  const key = pem('prime256v1')
  const gate = await startTunnels(t, `/docs/*=${url}`, {
    TICKETGATE_TUNNEL_ASSERTION_KEY_FILE: fileWith(key, 'recipe.pem'),
  })
  const publicFile = fileWith(
    createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
    'recipe-public.pem',
  )
  const page = readFileSync(new URL('../../docs/tunnels.md', import.meta.url), 'utf8')
  const recipe = codeBlocks(page, 'js').find(block => block.includes('jwtVerify')) ?? ''
  const program = recipe
    .replace("'jose'", `'${import.meta.resolve('jose')}'`)
    .replace('assertion-public.pem', publicFile)
    .replace('ws://127.0.0.1:1234/', url)
  const { whoIs } = await import(pathToFileURL(fileWith(program, 'recipe.mjs')).href)
  const { socket } = await openThrough(gate, '/docs/room', { user: 'Zoë' })
  const { request } = await upstream.next()
  t.strictSame(await whoIs(request), { user: 'Zoë', channel: 'room' })
  await t.rejects(whoIs({ headers: {} }))
  const other = await startTunnels(t, `/docs/*=${url}`, {
    TICKETGATE_TUNNEL_ASSERTION_KEY_FILE: fileWith(pem('prime256v1'), 'other-gate.pem'),
  })
  const forged = await openThrough(other, '/docs/room')
  await t.rejects(whoIs((await upstream.next()).request), { code: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' })
  forged.socket.terminate()
  socket.terminate()
})

t.test('without a key there is no assertion', async t => {
  const gate = await startTunnels(t, `/docs/*=${url}`)
  const { socket } = await openThrough(gate, '/docs/room', {
    headers: { 'x-ticket-assertion': 'from the client' },
  })
  t.notOk('x-ticket-assertion' in (await upstream.next()).request.headers)
  socket.terminate()
})

t.test('unsuitable keys are refused at startup', async t => {
  const problemOf = (text: string, name: string, others: Readonly<Record<string, string>> = {}): string => {
    const env = { TICKETGATE_TUNNEL_ASSERTION_KEY_FILE: fileWith(text, name), ...others }
    try {
      resolveConfig({ env, options: { jwtSecret } })
      return ''
    } catch (error) {
      return error instanceof Error ? error.message : ''
    }
  }
  t.match(problemOf('short', 'short'), /^TICKETGATE_TUNNEL_ASSERTION_KEY_FILE: is shorter than 32 bytes/)
  t.match(problemOf('a'.repeat(40), 'weak'), /has a secret of few different characters/)
  t.match(problemOf(pem('secp384r1'), 'curve'), /has no such key: give a P-256 private key in PEM/)
  t.match(problemOf('-----BEGIN PRIVATE KEY-----\n', 'broken'), /has no such key/)
  t.match(
    problemOf(`${jwtSecret}\n`, 'token'),
    /is the token secret, so the upstream servers could issue tokens/,
  )
  t.equal(problemOf(secret, 'good'), '')

  const previous = { TICKETGATE_JWT_SECRET_PREVIOUS: secret }
  t.match(problemOf(secret, 'previous', previous), /is the previous token secret: give another one/)
  t.match(problemOf(secret, 'admin', { TICKETGATE_ADMIN_KEY: secret }), /is the admin key/)
  const bytes = randomBytes(32)
  const keys = { TICKETGATE_TICKET_KEYS: `7:${bytes.toString('base64url')}`, TICKETGATE_NODE: 'a' }
  t.match(problemOf(bytes.toString('base64url'), 'ticket', keys), /is a ticket key: give another one/)
  const text = { ...keys, TICKETGATE_TICKET_KEYS: `7:${Buffer.from(secret).toString('base64url')}` }
  t.match(problemOf(secret, 'ticket-bytes', text), /is a ticket key: give another one/)
  t.equal(problemOf(secret, 'other-ticket', keys), '')

  const key = pem('prime256v1')
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
  const issuers = (field: string, content: string) => {
    const named = fileWith(content, field)
    const entry = `- {issuer: shop, ${field}: ${named}, audiences: [gate], algorithms: [${field === 'secretFile' ? 'HS256' : 'ES256'}]}\n`
    return { TICKETGATE_ISSUERS_FILE: fileWith(entry, `${field}.yaml`) }
  }
  t.match(problemOf(secret, 'shop', issuers('secretFile', `${secret}\n`)), /is the secret of an issuer/)
  t.match(problemOf(key, 'shop.pem', issuers('publicKeyFile', publicKey)), /is the key of an issuer/)
  t.equal(problemOf(pem('prime256v1'), 'other.pem', issuers('publicKeyFile', publicKey)), '')
})
