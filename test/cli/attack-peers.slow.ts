import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hashSync } from '@node-rs/argon2'
import { SignJWT } from 'jose'
import t, { type Test } from 'tap'
import { startChild } from '../../bench/targets/child.js'
import { installPackages } from '../../bench/targets/packages.js'
import { fileNeeds } from '../support/programs.js'
import { startRedis } from '../support/redis.js'
import { run } from '../support/server.js'

fileNeeds(t, 'redis-server', 'go-jwt')

const bench = fileURLToPath(new URL('../../bench/', import.meta.url))
const password = 'correct horse'
const secret = 'a secret of the peers, 32 bytes!!'
const lifetimeSeconds = 2

installPackages()
const hash = hashSync(password, { memoryCost: 8, timeCost: 1, parallelism: 1 })

/** An edit of a peer's source, and the attacks that reveal it. */
interface Hole {
  readonly name: string
  readonly from: string
  readonly to: string
  readonly found: readonly string[]
}

const reuse = ['reuse', 'race', 'two-tickets']

/** The holes by peer. */
const peers: Readonly<Record<string, readonly Hole[]>> = {
  'express.js': [
    { name: 'keeps used tickets', from: 'used.set(claims.jti, claims.exp)', to: '', found: reuse },
    {
      name: 'accepts tokens as tickets',
      from: "algorithms: ['HS256'], audience: 'ticket'",
      to: "algorithms: ['HS256']",
      found: ['token-as-ticket'],
    },
    {
      name: 'reads tickets without their signature',
      from: "jwt.verify(searchParams.get('ticket'), secret, { algorithms: ['HS256'], audience: 'ticket' })",
      to: "jwt.decode(searchParams.get('ticket')) ?? refuse()",
      found: ['altered', 'expiry'],
    },
    // jwt.decode returns null for a malformed ticket, and reading its claims throws.
    {
      name: 'crashes on a malformed ticket',
      from: "jwt.verify(searchParams.get('ticket'), secret, { algorithms: ['HS256'], audience: 'ticket' })",
      to: "jwt.decode(searchParams.get('ticket'))",
      found: ['truncated'],
    },
    {
      name: 'accepts any token',
      from: 'jwt.verify(req.headers.authorization.slice',
      to: '((token) => jwt.decode(token))(req.headers.authorization.slice',
      found: ['algorithms'],
    },
  ],
  'fastify.js': [
    {
      name: 'waits between checking and marking a ticket',
      from: 'used.set(claims.jti, claims.exp)',
      to: 'await new Promise(resolve => setTimeout(resolve, 20))\n  used.set(claims.jti, claims.exp)',
      found: ['race'],
    },
    {
      name: 'ignores the lifetime',
      from: "{ allowedAud: 'ticket' }",
      to: "{ allowedAud: 'ticket', ignoreExpiration: true }",
      found: ['expiry'],
    },
  ],
  'redis.js': [
    { name: 'GET instead of GETDEL', from: 'redis.getDel(', to: 'redis.get(', found: reuse },
    {
      name: 'GET, then DEL',
      from: 'await redis.getDel(`ticket:${ticket}`)',
      to: 'await redis.get(`ticket:${ticket}`)\n      await redis.del(`ticket:${ticket}`)',
      found: ['race'],
    },
    {
      name: 'no time limit in the store',
      from: ", { expiration: { type: 'EX', value: ticketSeconds } }",
      to: '',
      found: ['expiry'],
    },
  ],
  'go.go': [
    {
      name: 'keeps used tickets',
      from: '\tused.expiry[id] = expires\n\treturn true',
      to: '\treturn true',
      found: reuse,
    },
    {
      name: 'accepts tokens as tickets',
      from: 'err == nil && claims.VerifyAudience(audience, true)',
      to: 'err == nil',
      found: ['token-as-ticket'],
    },
  ],
  'socketio.js': [
    {
      name: 'accepts any token',
      from: "jwt.verify(token, secret, { algorithms: ['HS256'], audience: 'api' })",
      to: 'jwt.decode(token)',
      found: ['altered', 'algorithms'],
    },
  ],
}

/** Attacks that unchanged peers do not withstand: the token of Socket.IO is not single-use. */
const asTheyAre: Readonly<Record<string, readonly string[]>> = {
  'socketio.js': ['before-101', 'expiry', 'race', 'reuse'],
}

/** Starts a peer of the bench from a copy of its source, with or without a hole. */
async function startPeer(t: Test, file: string, hole: Hole | undefined, redisUrl: string): Promise<string> {
  const source = readFileSync(join(bench, 'targets/peers', file), 'utf8')
  if (hole && !source.includes(hole.from)) throw new Error(`${file} has no ${hole.from}`)
  // A directory from which Node finds its packages.
  const copies = join(bench, 'node_modules/.attacked')
  mkdirSync(copies, { recursive: true })
  const directory = mkdtempSync(join(copies, 'peer-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const copy = join(directory, file)
  writeFileSync(copy, hole ? source.replace(hole.from, hole.to) : source)
  const env = {
    PEER_SECRET: secret,
    PEER_USERS: JSON.stringify({ maggie: hash }),
    PEER_TICKET_SECONDS: String(lifetimeSeconds),
    PEER_REDIS_URL: redisUrl,
  }
  const child = await startChild(commandOf(copy), env, join(directory, 'log'))
  t.teardown(() => child.stop())
  return child.url
}

function commandOf(file: string): [string, ...string[]] {
  if (!file.endsWith('.go')) return [process.execPath, file]
  const program = file.replace('.go', '')
  const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '-mod=mod' }
  const { status, stderr } = spawnSync('go', ['build', '-o', program, file], { env, encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
  return [program]
}

const token = await new SignJWT({ sub: 'maggie', aud: 'api' })
  .setProtectedHeader({ alg: 'HS256' })
  .setIssuedAt()
  .setExpirationTime('1h')
  .sign(Buffer.from(secret))

/** Runs the tool against a server, and returns the names of the attacks that broke it. */
async function brokenBy(url: string, file: string, only: readonly string[]): Promise<string[]> {
  const [preset, env] =
    file === 'socketio.js'
      ? ['socket.io', { TICKETGATE_ATTACK_TOKEN: token }]
      : ['getdel', { TICKETGATE_ATTACK_PASSWORD: password }]
  const login = preset === 'getdel' ? ['--user', 'maggie'] : []
  const { code, stdout, stderr } = await run(
    [
      ...['attack', url, '--preset', preset, ...login, '--lifetime', String(lifetimeSeconds), '--json'],
      ...only.flatMap(name => ['--only', name]),
    ],
    env,
  )
  if (stdout === '') throw new Error(`exit code ${code}: ${stderr}`)
  const findings = JSON.parse(stdout) as readonly { readonly name: string; readonly outcome: string }[]
  return findings.flatMap(({ name, outcome }) => (outcome === 'broken' ? [name] : [])).sort()
}

for (const [file, holes] of Object.entries(peers))
  t.test(file, async t => {
    const redis = await startRedis(t)
    const url = await startPeer(t, file, undefined, redis.url)
    t.strictSame(await brokenBy(url, file, []), asTheyAre[file] ?? [], 'unchanged')
    for (const hole of holes) {
      const holed = await startPeer(t, file, hole, redis.url)
      t.strictSame(await brokenBy(holed, file, hole.found), [...hole.found].sort(), hole.name)
    }
  })
