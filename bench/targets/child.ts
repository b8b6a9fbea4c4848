import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const startDeadlineMs = 30_000
const stopDeadlineMs = 5_000

export interface Child {
  readonly pid: number
  /** The URL that it logs. */
  readonly url: string
  /** The admin URL that it logs. */
  readonly adminUrl: string | undefined
  /** After a failure: its last log lines, if it has ended or ends within a moment. */
  lastWords(): Promise<string | undefined>
  /** Asks it to stop, and kills it after 5 seconds. */
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** The caller's environment, without variables that would change a server's behaviour. */
const cleanEnvironment = (own: Readonly<Record<string, string>>): Record<string, string> => ({
  PATH: process.env.PATH ?? '',
  HOME: process.env.HOME ?? '/',
  ...own,
})

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

const tail = (logFile: string): string =>
  readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n')

interface Listening {
  readonly url: string
  readonly admin?: string
}

/** Parses the log line `{"msg":"listening","url":…}`. */
const listening = (log: string): Listening | undefined => {
  const line = log.split('\n').find(text => text.includes('"listening"') && text.endsWith('}'))
  return line === undefined ? undefined : JSON.parse(line)
}

/**
 * Starts a program and waits until it logs its URL. Its output goes to a file, not a pipe, so that
 * reading it costs the driver nothing and never blocks the server.
 */
export const startChild = async (
  [command, ...args]: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  logFile: string,
  readLog = listening,
): Promise<Child> => {
  const log = openSync(logFile, 'w')
  const child = spawn(command, args, { env: cleanEnvironment(env), stdio: ['ignore', log, log] })
  closeSync(log)
  running.add(child)
  let failure: Error | undefined
  child.once('error', error => {
    failure = error
  })
  child.once('exit', () => running.delete(child))

  const deadline = performance.now() + startDeadlineMs
  let said: Listening | undefined
  while (said === undefined) {
    if (failure !== undefined) throw failure
    if (hasEnded(child) || performance.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`${[command, ...args].join(' ')} did not come to listen:\n${tail(logFile)}`)
    }
    await sleep(20)
    said = readLog(readFileSync(logFile, 'utf8'))
  }

  return {
    pid: child.pid ?? 0,
    url: said.url.replace(/\/$/, ''),
    adminUrl: said.admin,
    lastWords: async () => {
      // A broken connection can be seen before the exit of the process behind it.
      if (!hasEnded(child)) await Promise.race([once(child, 'exit'), sleep(200)])
      return hasEnded(child) ? tail(logFile) : undefined
    },
    stop: async () => {
      if (hasEnded(child)) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), stopDeadlineMs)
      await ended
      clearTimeout(timer)
    },
  }
}

/** Where a child listens. */
export const address = (child: Child): { host: string; port: number } => {
  const { hostname, port } = new URL(child.url)
  return { host: hostname, port: Number(port) }
}
