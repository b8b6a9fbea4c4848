import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { temporaryDirectory } from './server.js'

/** A port that was free a moment ago. */
export const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  probe.close()
  await once(probe, 'close')
  return port
}

const running = new Set<ChildProcess>()
const killAll = (): void => {
  for (const child of running) child.kill('SIGKILL')
}
process.once('exit', killAll)
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, killAll)

/** A program that a test starts beside the gate, ended with the test. Rejects where it is not installed. */
export const startProgram = async (
  t: Test,
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<ChildProcess> => {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  await Promise.race([
    once(child, 'spawn'),
    once(child, 'error').then(([error]) => {
      throw new Error(`${command} can not be started: install it`, { cause: error })
    }),
  ])
  running.add(child)
  const exited = once(child, 'exit')
  child.once('exit', () => running.delete(child))
  t.teardown(async () => {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await exited
  })
  return child
}

/** A redis-server of this test, on a port of its own. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  /** For what an operator would do. It waits for the server to come back. */
  readonly client: Redis
  readonly pid: number
  /** SIGKILL: what is in memory is gone. */
  kill(): Promise<void>
  /** After `kill`: the same server again, on its port, with what its directory has. */
  start(): Promise<void>
  signal(name: NodeJS.Signals): void
}

/**
 * @param args as on the command line of redis-server, after those that keep it in memory and to itself
 * @param env besides that of the test
 */
export const startRedis = async (
  t: Test,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<RedisServer> => {
  const port = await freePort()
  const directory = temporaryDirectory(t)
  let child: ChildProcess
  const start = async (): Promise<void> => {
    const own = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
    const memory = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0']
    child = await startProgram(t, 'redis-server', [...own, ...memory, ...args], { ...process.env, ...env })
    let log = ''
    const out = child.stdout
    if (out === null) throw new Error('redis-server has no output')
    for await (const chunk of out) {
      log += chunk
      if (log.includes('Ready to accept connections')) break
    }
    if (!log.includes('Ready to accept connections')) throw new Error(`redis-server did not start:\n${log}`)
    out.resume()
  }
  await start()
  const client = new Redis(port, '127.0.0.1', { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    client,
    get pid() {
      return child.pid ?? 0
    },
    async kill() {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
    start,
    signal: name => void child.kill(name),
  }
}

/** A redis-server whose wall clock a test sets. */
export const startRedisWithClock = async (
  t: Test,
): Promise<RedisServer & { shiftClock(seconds: number): void }> => {
  const directory = temporaryDirectory(t)
  const library = join(directory, 'clock-shift.so')
  const shift = join(directory, 'seconds')
  const source = fileURLToPath(new URL('clock-shift.c', import.meta.url))
  execFileSync('gcc', ['-shared', '-fPIC', '-o', library, source])
  const shiftClock = (seconds: number): void => writeFileSync(shift, String(seconds))
  shiftClock(0)
  const server = await startRedis(t, [], { LD_PRELOAD: library, CLOCK_SHIFT: shift })
  return Object.assign(server, { shiftClock })
}
