import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { keep } from './children.js'
import { clockShift } from './clock-shift.js'
import { temporaryDirectory } from './fixtures.js'
import { freePort } from './free-port.js'
import { Log } from './log.js'
import { type ProgramName, pathOf } from './programs.js'

export interface Program {
  readonly child: ChildProcess
  readonly log: Log
  /** Whether this program itself listens on an IPv4 port. */
  listensOn(port: number): boolean
  /**
   * Polls until the condition holds.
   * @throws Error with its output if it has ended
   */
  until(isThere: () => boolean): Promise<void>
}

/** The sockets that listen on a port, from /proc/net/tcp (proc(5)): local address, state, inode. */
const listenersOn = (port: number): string[] => {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(fields => fields[1]?.endsWith(local) && fields[3] === '0A')
    .map(fields => `socket:[${fields[9]}]`)
}

const linkOf = (path: string): string => {
  try {
    return readlinkSync(path)
  } catch {
    // Closed in the meantime.
    return ''
  }
}

/**
 * Starts a program that ends with the test. The test must declare it with `needs`.
 * @throws Error with the install commands if the program is absent
 */
export const startProgram = async (
  t: Test,
  program: ProgramName,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Program> => {
  const command = pathOf(program)
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  const log = new Log(child)
  await Promise.race([
    once(child, 'spawn'),
    once(child, 'error').then(([error]) => {
      throw new Error(`${command} cannot be started`, { cause: error })
    }),
  ])
  keep(child)
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await exited
  })
  return {
    child,
    log,
    listensOn(port) {
      const listeners = new Set(listenersOn(port))
      const files = `/proc/${child.pid}/fd`
      return readdirSync(files).some(file => listeners.has(linkOf(join(files, file))))
    },
    async until(isThere) {
      for (;;) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`${command} did not start:\n${log.text}`)
        if (isThere()) return
        await delay(20)
      }
    },
  }
}

/** A redis-server for this test, on its own port. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  /** A client for what an operator would do. It waits for the server to come back. */
  readonly client: Redis
  readonly pid: number
  /** SIGKILL: its memory is lost. */
  kill(): Promise<void>
  /** After `kill`: starts the server again on its port, with its directory. */
  start(): Promise<void>
  signal(name: NodeJS.Signals): void
}

/**
 * Starts a redis-server.
 * @param args further arguments, after those that keep it on loopback and in memory
 * @param env in addition to that of the test
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
    const all = [...own, ...memory, ...args]
    const program = await startProgram(t, 'redis-server', all, { ...process.env, ...env })
    child = program.child
    await program.log.logged('Ready to accept connections')
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

/** Starts a redis-server whose wall clock the test can set. */
export const startRedisWithClock = async (
  t: Test,
): Promise<RedisServer & { shiftClock(seconds: number): void }> => {
  const shift = clockShift(t)
  return Object.assign(await startRedis(t, [], shift.env), { shiftClock: shift.set })
}
