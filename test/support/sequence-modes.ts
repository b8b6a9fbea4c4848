import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { certificate, certificateKey } from './certificate.js'
import { jwtSecret, temporaryDirectory } from './fixtures.js'
import { storeEnv, untilReady } from './nodes.js'
import { needs, type ProgramName, pathOf } from './programs.js'
import { startRedis } from './redis.js'
import { attack } from './sequencer.js'
import { development, type Environment, startServer } from './server.js'

interface Mode {
  readonly program?: ProgramName
  readonly env: (t: Test) => Environment | Promise<Environment>
}

const tls = (t: Test): Environment => {
  const directory = t.testdir({ 'cert.pem': certificate, 'key.pem': certificateKey })
  return {
    TICKETGATE_TLS_CERT_FILE: `${directory}/cert.pem`,
    TICKETGATE_TLS_KEY_FILE: `${directory}/key.pem`,
  }
}

const verify: Environment = {
  TICKETGATE_VERIFY: 'on',
  TICKETGATE_TRUSTED_PROXIES: '127.0.0.0/8',
  TICKETGATE_BIND: 'origin,address',
  TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS: '1000',
}

/** Server modes that differ in how responses are produced. */
const modes: Readonly<Record<string, Mode>> = {
  'plain HTTP': { env: () => ({}) },
  'in development, with the console': { env: () => ({ ...development, TICKETGATE_JWT_SECRET: jwtSecret }) },
  'over TLS': { env: tls },
  'over two threads': { env: () => ({ TICKETGATE_THREADS: '2' }) },
  'over two threads and TLS': { env: t => ({ ...tls(t), TICKETGATE_THREADS: '2' }) },
  'with first-message auth and compression': {
    env: () => ({ TICKETGATE_FIRST_MESSAGE_SECONDS: '5', TICKETGATE_COMPRESSION: 'shared' }),
  },
  'with /verify behind proxies, and bindings': { env: () => verify },
  'with Redis': {
    program: 'redis-server',
    env: async t => storeEnv((await startRedis(t)).port, { TICKETGATE_VERIFY: 'on' }),
  },
}

export interface Sequences {
  /** How many connections attack each mode, */
  readonly connections?: number | undefined
  /** or for how long. */
  readonly seconds?: number | undefined
  /** Whether freed memory is watched. */
  readonly isWatched?: boolean
}

// Messages of our log, uWS, libuv, the allocator, and the library that watches freed memory.
const fault = /"level":"(error|fatal)"|^(Error|Warning)\b|assert|corrupt|malloc|free\(\)|quarantine/i

/** On an overloaded machine Redis may be slow. Refusing all tickets is then correct. */
const isStarved = /"msg":"Redis is unreachable: no ticket is accepted"/

const seed = Number(process.env.TICKETGATE_FUZZ_SEED ?? 1)

/**
 * Attacks a server in each mode with random sequences of requests. It must survive them without an
 * error of its own, and stop when told to. `TICKETGATE_FUZZ_SEED` repeats a run;
 * `TICKETGATE_FUZZ_SECONDS` sets how long each mode is attacked.
 */
export function sequences(t: Test, { connections, seconds, isWatched = false }: Sequences): void {
  const fixedSeconds = process.env.TICKETGATE_FUZZ_SECONDS
  const extent = fixedSeconds === undefined ? { connections, seconds } : { seconds: Number(fixedSeconds) }
  for (const [name, { program, env }] of Object.entries(modes)) {
    const programs = [...(program === undefined ? [] : [program]), ...(isWatched ? (['gcc'] as const) : [])]
    t.test(`${name}, seed ${seed}`, { timeout: 900_000, ...needs(...programs) }, async t => {
      const memory = isWatched ? { LD_PRELOAD: buildQuarantine(t) } : {}
      const server = await startServer(t, {
        env: {
          TICKETGATE_TICKET_TTL_SECONDS: '3600',
          TICKETGATE_REPLAY_CAPACITY: '1000000',
          ...memory,
          ...(await env(t)),
        },
      })
      if (program === 'redis-server') await untilReady(server)
      const { opened, tickets, ...sent } = await attack({ server, seed, ...extent })
      const exit = await server.stop()
      t.comment(`${JSON.stringify(sent)}, ${opened} of ${tickets} tickets opened a socket`)
      const faults = server
        .output()
        .split('\n')
        .filter(line => fault.test(line) && !isStarved.test(line))
      t.strictSame(
        [exit, faults.join('\n')],
        [{ code: 0, signal: null }, ''],
        'the server stops normally, and has logged no fault',
      )
    })
  }
}

/** Compiles the library that watches freed memory. Returns its path. */
function buildQuarantine(t: Test): string {
  const library = join(temporaryDirectory(t), 'quarantine.so')
  const source = fileURLToPath(new URL('quarantine.c', import.meta.url))
  execFileSync(pathOf('gcc'), ['-O2', '-shared', '-fPIC', '-o', library, source, '-ldl', '-lpthread'])
  return library
}
