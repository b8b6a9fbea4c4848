import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import t, { type Test } from 'tap'
import { mainFile } from './built.js'
import { keep } from './children.js'
import { adminKey, allowedOrigin, jwtSecret, temporaryDirectory } from './fixtures.js'
import { Log } from './log.js'
import { plain } from './plain.js'

export { adminKey, allowedOrigin, jwtSecret, temporaryDirectory }

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Production as deployed, without the limits that tests would reach: on rates, and on the life of a
 * ticket, which must outlive the pauses of a busy machine.
 */
const production: Environment = {
  NODE_ENV: 'production',
  TICKETGATE_HOST: '127.0.0.1',
  TICKETGATE_PORT: '0',
  TICKETGATE_ADMIN_PORT: '0',
  TICKETGATE_ADMIN_KEY: adminKey,
  TICKETGATE_JWT_SECRET: jwtSecret,
  TICKETGATE_ORIGINS: `${allowedOrigin},https://app.example.com:8443,http://localhost:3000`,
  TICKETGATE_LOGIN_RATE: 'off',
  TICKETGATE_TICKET_RATE: 'off',
  TICKETGATE_TICKET_TTL_SECONDS: '600',
  TICKETGATE_DRAIN_SECONDS: '1',
}

/** The settings of `production` that development lacks. */
export const development: Environment = {
  NODE_ENV: 'development',
  TICKETGATE_ADMIN_KEY: undefined,
  TICKETGATE_JWT_SECRET: undefined,
  TICKETGATE_ORIGINS: undefined,
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Run extends Exit {
  readonly stdout: string
  readonly stderr: string
  /** Both streams, for messages that may go to either. */
  readonly output: string
}

export interface TestServer {
  /** Base URLs, without a trailing slash. */
  readonly url: string
  readonly admin: string
  readonly port: number
  readonly pid: number
  readonly stateDir: string
  /** What it has written to stdout and stderr. */
  readonly log: Log
  /** Its output so far, to check that something is absent from it. */
  output(): string
  /** Waits for a line: see `Log`. */
  logged(pattern: string | RegExp, times?: number): Promise<RegExpMatchArray>
  readonly exited: Promise<Exit>
  signal(name: NodeJS.Signals): void
  /** Stops reading its stdout, like a log collector that stalls. */
  pauseOutput(): void
  resumeOutput(): void
  /** Closes its stdout, like a log collector that dies. */
  hangUpOutput(): void
  /** SIGTERM, then the exit. */
  stop(): Promise<Exit>
}

export interface ServerOptions {
  readonly env?: Environment
  readonly users?: Readonly<Record<string, string>>
  readonly stateDir?: string
  /** Flags of `serve`. */
  readonly flags?: readonly string[]
  /** Its limit on open files. */
  readonly openFiles?: number
  /** Called with its log before it listens. */
  readonly onLog?: (log: Log) => void
}

// Anything left open would keep the process alive until its timeout, long after the last test, so
// it is reported, and the process exits. Otherwise the process exits here too, without waiting for
// requests on sockets, as Node 20 would (reset.ts).
t.teardown(() => {
  setTimeout(() => {
    console.error('still open after the last test:', process.getActiveResourcesInfo().join(' '))
    process.exit()
  }, 10_000).unref()
  process.once('beforeExit', () => process.exit())
  // Ensures that the event loop turns once more, and then runs empty.
  setImmediate(() => {})
})

/** Starts the product. Apart from PATH and HOME, its environment is only what the test sets. */
const launch = (args: readonly string[], env: Environment, openFiles?: number): ChildProcess => {
  const all: Environment = { PATH: process.env.PATH, HOME: '/nonexistent', ...env }
  const defined = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  const [file, words] = plain(process.execPath, [mainFile, ...args], env.NODE_OPTIONS)
  const child = spawn(...limited(file, words, openFiles), {
    env: defined,
    stdio: 'pipe',
    cwd: tmpdir(),
  })
  keep(child)
  return child
}

/** Wraps a command in a limit on open files, if there is one. */
const limited = (
  file: string,
  args: readonly string[],
  openFiles: number | undefined,
): [string, readonly string[]] =>
  openFiles === undefined
    ? [file, args]
    : ['/bin/sh', ['-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, file, ...args]]

const exitOf = (child: ChildProcess): Promise<Exit> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })

/** Runs a command of the product to its end. */
export const run = async (args: readonly string[], env: Environment, input = ''): Promise<Run> => {
  const child = launch(args, env)
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', chunk => {
    stdout += chunk
  })
  child.stderr?.on('data', chunk => {
    stderr += chunk
  })
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  const exit = await exitOf(child)
  return { ...exit, stdout, stderr, output: stdout + stderr }
}

/** Tries to start a server that should refuse to start. */
export const runServe = (t: Test, env: Environment, args: readonly string[] = []): Promise<Run> =>
  run(['serve', ...args], { ...production, TICKETGATE_STATE_DIR: temporaryDirectory(t), ...env })

export const addUser = async (stateDir: string, name: string, password: string): Promise<void> => {
  const result = await run(
    ['user', 'add', name, '--password-stdin'],
    { TICKETGATE_STATE_DIR: stateDir },
    `${password}\n`,
  )
  if (result.code !== 0) throw new Error(`user add ${name}: exit ${result.code}: ${result.output}`)
}

/** Starts the real server on free ports and waits until it listens. Stopped after the test. */
export const startServer = async (t: Test, options: ServerOptions = {}): Promise<TestServer> => {
  const stateDir = options.stateDir ?? temporaryDirectory(t)
  for (const [name, password] of Object.entries(options.users ?? {})) await addUser(stateDir, name, password)
  const env = { ...production, TICKETGATE_STATE_DIR: stateDir, ...options.env }
  const child = launch(['serve', ...(options.flags ?? [])], env, options.openFiles)
  const exited = exitOf(child)
  const log = new Log(child)
  options.onLog?.(log)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const { url, admin } = await log.until(listeningAddresses, 'the addresses that it listens on')
  return {
    url,
    admin,
    port: Number(new URL(url).port),
    pid: child.pid ?? 0,
    stateDir,
    log,
    output: () => log.text,
    logged: (pattern, times) => log.logged(pattern, times),
    exited,
    signal: name => void child.kill(name),
    pauseOutput: () => void child.stdout?.pause(),
    resumeOutput: () => void child.stdout?.resume(),
    hangUpOutput: () => void child.stdout?.destroy(),
    stop: () => {
      child.kill('SIGTERM')
      return exited
    },
  }
}

const listeningAddresses = (log: Log): { url: string; admin: string } | undefined => {
  const { url, admin } = log.entries().find(({ msg }) => msg === 'listening') ?? {}
  if (typeof url !== 'string' || typeof admin !== 'string') return undefined
  return { url: url.replace(/\/$/, ''), admin: admin.replace(/\/$/, '') }
}
