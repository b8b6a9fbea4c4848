import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bearer, request } from '../support/http.js'
import { adminKey, jwtSecret, run, runServe, startServer, temporaryDirectory } from '../support/server.js'
import { nowSeconds, signText } from '../support/tokens.js'

const weak = 'only-31-bytes-long-Jq7Vx2Zr9Lw6'

/** Runs two at a time, as many as a small machine has cores. */
const inPairs = async <Case, Result>(
  cases: readonly Case[],
  work: (item: Case) => Promise<Result>,
): Promise<Result[]> => {
  const results: Result[] = []
  for (let index = 0; index < cases.length; index += 2)
    results.push(...(await Promise.all(cases.slice(index, index + 2).map(work))))
  return results
}

t.test('an invalid setting prevents the start, and the message names the variable', async t => {
  const cases = [
    ['no secret in production', { TICKETGATE_JWT_SECRET: undefined }, 'TICKETGATE_JWT_SECRET'],
    ['a short secret', { TICKETGATE_JWT_SECRET: weak }, 'TICKETGATE_JWT_SECRET'],
    ['an empty secret', { TICKETGATE_JWT_SECRET: '' }, 'TICKETGATE_JWT_SECRET'],
    ['no admin key in production', { TICKETGATE_ADMIN_KEY: undefined }, 'TICKETGATE_ADMIN_KEY'],
    ['an unknown name, nearly right', { TICKETGATE_TICKET_TTL: '5' }, 'TICKETGATE_TICKET_TTL_SECONDS'],
    ['an unknown name with a typo', { TICKETGATE_ORIGNS: 'https://a.test' }, 'TICKETGATE_ORIGINS'],
    ['a port out of range', { TICKETGATE_PORT: '65536' }, 'TICKETGATE_PORT'],
    ['a port that is not a number', { TICKETGATE_PORT: 'http' }, 'TICKETGATE_PORT'],
    ['a negative port', { TICKETGATE_ADMIN_PORT: '-1' }, 'TICKETGATE_ADMIN_PORT'],
    ['a ticket life of 0', { TICKETGATE_TICKET_TTL_SECONDS: '0' }, 'TICKETGATE_TICKET_TTL_SECONDS'],
    [
      'a ticket life over an hour',
      { TICKETGATE_TICKET_TTL_SECONDS: '3601' },
      'TICKETGATE_TICKET_TTL_SECONDS',
    ],
    ['a fraction', { TICKETGATE_TICKET_TTL_SECONDS: '1.5' }, 'TICKETGATE_TICKET_TTL_SECONDS'],
    ['a hexadecimal number', { TICKETGATE_TICKET_TTL_SECONDS: '0x10' }, 'TICKETGATE_TICKET_TTL_SECONDS'],
    ['a unit', { TICKETGATE_TICKET_TTL_SECONDS: '10s' }, 'TICKETGATE_TICKET_TTL_SECONDS'],
    ['a token life of 0', { TICKETGATE_TOKEN_TTL_SECONDS: '0' }, 'TICKETGATE_TOKEN_TTL_SECONDS'],
    ['a cache too small', { TICKETGATE_REPLAY_CAPACITY: '99' }, 'TICKETGATE_REPLAY_CAPACITY'],
    ['a rate without a period', { TICKETGATE_LOGIN_RATE: '10' }, 'TICKETGATE_LOGIN_RATE'],
    ['a rate of words', { TICKETGATE_TICKET_RATE: 'many/60' }, 'TICKETGATE_TICKET_RATE'],
    ['a rate per nothing', { TICKETGATE_MESSAGE_RATE: '10/0' }, 'TICKETGATE_MESSAGE_RATE'],
    ['messages too small', { TICKETGATE_MAX_MESSAGE_BYTES: '1023' }, 'TICKETGATE_MAX_MESSAGE_BYTES'],
    ['no time to drain', { TICKETGATE_DRAIN_SECONDS: '0' }, 'TICKETGATE_DRAIN_SECONDS'],
    ['an unknown log level', { TICKETGATE_LOG_LEVEL: 'loud' }, 'TICKETGATE_LOG_LEVEL'],
    [
      'a proxy that is not a network',
      { TICKETGATE_TRUSTED_PROXIES: '10.0.0.0/33' },
      'TICKETGATE_TRUSTED_PROXIES',
    ],
    ['an origin in upper case', { TICKETGATE_ORIGINS: 'https://Example.com' }, 'TICKETGATE_ORIGINS'],
    ['an origin with its default port', { TICKETGATE_ORIGINS: 'https://a.test:443' }, 'TICKETGATE_ORIGINS'],
    ['an origin with a path', { TICKETGATE_ORIGINS: 'https://a.test/' }, 'TICKETGATE_ORIGINS'],
    ['an origin without a scheme', { TICKETGATE_ORIGINS: 'a.test' }, 'TICKETGATE_ORIGINS'],
    ['an origin with a wildcard', { TICKETGATE_ORIGINS: 'https://*.a.test' }, 'TICKETGATE_ORIGINS'],
    ['the null origin', { TICKETGATE_ORIGINS: 'null' }, 'TICKETGATE_ORIGINS'],
    [
      'a secret file that does not exist',
      { TICKETGATE_JWT_SECRET: undefined, TICKETGATE_JWT_SECRET_FILE: '/nonexistent/secret' },
      '/nonexistent/secret',
    ],
  ] as const
  const results = await inPairs(cases, ([, env]) => runServe(t, env))
  cases.forEach(([name, , names], index) => {
    const result = results[index]
    t.ok(result?.code !== 0 && result?.signal === null, `${name}: exit ${result?.code}`)
    t.ok(result?.output.includes(names), `${name}: names ${names}: ${result?.output}`)
    t.notMatch(result?.output, /^\s+at .*:\d+/m, `${name}: no stack trace`)
    for (const secret of [jwtSecret, adminKey, weak])
      t.notOk(result?.output.includes(secret), `${name}: the output contains no secret`)
  })
})

t.test('the message about a missing secret has a command that generates one', async t => {
  const { output } = await runServe(t, { TICKETGATE_JWT_SECRET: undefined })
  t.match(output, /openssl rand|node -e|ticketgate \w+|head -c/)
})

t.test('the limits of the ranges are inclusive', async t => {
  await startServer(t, {
    env: {
      TICKETGATE_REPLAY_CAPACITY: '100',
      TICKETGATE_TICKET_TTL_SECONDS: '3600',
      TICKETGATE_TOKEN_TTL_SECONDS: '1',
      TICKETGATE_MAX_MESSAGE_BYTES: '1024',
      TICKETGATE_DRAIN_SECONDS: '1',
      TICKETGATE_LOG_LEVEL: 'trace',
    },
  })
})

t.test('the trailing newline of a secret file is not part of the secret', async t => {
  const file = join(temporaryDirectory(t), 'secret')
  const secret = 'from-a-file-Wd3Gh8Kp5Rt2Vy7Bn4Mz9Xc6Lq1'
  writeFileSync(file, `${secret}\n`)
  const server = await startServer(t, {
    env: { TICKETGATE_JWT_SECRET: undefined, TICKETGATE_JWT_SECRET_FILE: file },
  })
  const now = nowSeconds()
  const claims = JSON.stringify({ sub: 'maggie', iat: now, exp: now + 60 })
  const header = '{"alg":"HS256","typ":"JWT"}'
  const good = await request(server.url, '/ws_ticket', { headers: bearer(signText(header, claims, secret)) })
  t.equal(good.status, 200, 'a token signed without the newline is accepted')
  const bad = await request(server.url, '/ws_ticket', {
    headers: bearer(signText(header, claims, `${secret}\n`)),
  })
  t.equal(bad.status, 401, 'a token signed with it is refused')
})

t.test('PORT is used if TICKETGATE_PORT is not set', async t => {
  const server = await startServer(t, { env: { TICKETGATE_PORT: undefined, PORT: '0' } })
  t.not(server.port, 8080)
  t.equal((await request(server.url, '/healthz')).status, 200)
})

t.test('a second instance on the same port fails with the port in the message', async t => {
  const server = await startServer(t)
  const adminPort = new URL(server.admin).port
  for (const [name, env, port] of [
    ['the public port', { TICKETGATE_PORT: String(server.port) }, String(server.port)],
    ['the admin port', { TICKETGATE_ADMIN_PORT: adminPort }, adminPort],
  ] as const) {
    const second = await runServe(t, env)
    t.ok(second.code !== 0 && second.signal === null, `${name}: exit ${second.code}`)
    t.ok(second.output.includes(port), `${name}: the message names the port: ${second.output}`)
    t.notMatch(second.stdout, /"msg":"listening"/, `${name}: it never listened`)
  }
  t.equal((await request(server.url, '/healthz')).status, 200, 'the first instance still works')
})

t.test('--help lists every variable and exits with 0', async t => {
  const { code, stdout } = await run(['--help'], {})
  t.equal(code, 0)
  for (const name of [
    'HOST',
    'PORT',
    'STATE_DIR',
    'ADMIN_PORT',
    'ADMIN_KEY',
    'PUBLIC_URL',
    'JWT_SECRET',
    'JWT_SECRET_FILE',
    'TOKEN_TTL_SECONDS',
    'TICKET_TTL_SECONDS',
    'ORIGINS',
    'TRUSTED_PROXIES',
    'USERS_FILE',
    'REPLAY_CAPACITY',
    'MAX_CONNECTIONS',
    'MAX_CONNECTIONS_PER_USER',
    'MAX_CONNECTIONS_PER_ADDRESS',
    'MESSAGE_RATE',
    'MAX_MESSAGE_BYTES',
    'MAX_BACKPRESSURE_BYTES',
    'LOGIN_RATE',
    'TICKET_RATE',
    'DRAIN_SECONDS',
    'LOG_LEVEL',
  ])
    t.match(stdout, new RegExp(`TICKETGATE_${name}\\b`))
})

t.test('an unknown command or flag is refused', async t => {
  for (const args of [['sevre'], ['serve', '--prot', '0'], ['user'], ['user', 'befriend', 'x']]) {
    const { code, signal } = await run(args, {})
    t.ok(code !== 0 && signal === null, args.join(' '))
  }
})

t.test('a flag has the effect of its variable', async t => {
  const { code, output } = await runServe(t, {}, ['--ticket-ttl-seconds', '3601'])
  t.not(code, 0)
  t.match(output, /ticket-ttl-seconds|TICKETGATE_TICKET_TTL_SECONDS/)
})

t.test('the address is printed even if it is not logged', async t => {
  const { url, admin } = await startServer(t, { env: { TICKETGATE_LOG_LEVEL: 'fatal' } })
  t.equal((await request(url, '/healthz')).status, 200)
  t.equal((await request(admin, '/metrics', { headers: bearer(adminKey) })).status, 200)
})
