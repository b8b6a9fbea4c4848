import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DriverRun } from '../figures/cpu.js'
import type { Percentiles } from '../figures/sample.js'

const source = fileURLToPath(new URL('opener.c', import.meta.url))

/** The result of a command of opener.c. */
export interface Outcome {
  readonly run: DriverRun
  readonly latency: Percentiles
  /** Counts by response: `101`, `401 ticket_used`, or an error. */
  readonly answers: Readonly<Record<string, number>>
  /** Open connections, and how many of them the server has closed. */
  readonly kept: number
  readonly lost: number
}

/**
 * A running opener.c, for one server. Its commands are described there. They run one after another.
 */
export interface Opener {
  readonly pid: number
  /** Rejects if the opener fails, with its last output. */
  run(command: string, lines?: readonly string[]): Promise<Outcome>
  stop(): Promise<void>
}

let program: string | undefined

/** Builds the opener. Returns which program is missing for that, if any. */
export const buildOpener = (directory: string): string | undefined => {
  const path = join(directory, 'opener')
  const { error, status, stderr } = spawnSync('gcc', ['-O2', '-o', path, source], { encoding: 'utf8' })
  if (error !== undefined) return 'no C compiler (apt-get install gcc libc6-dev)'
  if (status !== 0) return `gcc can not build the driver (apt-get install gcc libc6-dev): ${stderr.trim()}`
  program = path
  return undefined
}

/** Whether there is an opener to start. */
export const hasOpener = (): boolean => program !== undefined

const sourcesEach = 16
let openers = 0

/** 16 addresses in 127/8 for each opener, so that none runs out of ports. */
const nextSource = (): string => {
  const first = (openers++ % 4096) * sourcesEach
  return `127.${1 + (first >> 16)}.${(first >> 8) & 255}.${first & 255}`
}

const parse = (line: string): Outcome => {
  const { operations, wallNs, cpuNs, latencyNs, answers, kept, lost } = JSON.parse(line)
  const ms = (name: string): number => latencyNs[name] / 1e6
  return {
    run: { operations, wallNs, driverCpuNs: cpuNs },
    latency: { p50: ms('p50'), p90: ms('p90'), p99: ms('p99'), p999: ms('p999'), max: ms('max') },
    answers,
    kept,
    lost,
  }
}

const running = new Set<ChildProcessWithoutNullStreams>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts an opener for a server on loopback. Throws unless `buildOpener` has succeeded. */
export const startOpener = ({ host, port }: { host: string; port: number }): Opener => {
  if (program === undefined) throw new Error('the C driver is not built')
  const child = spawn(program, [host, String(port), nextSource(), String(sourcesEach)])
  running.add(child)
  let words = ''
  child.stderr.on('data', text => {
    words += text
  })
  child.stdin.on('error', () => {}) // told by its exit
  const replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const closed = once(child, 'close').then(() => running.delete(child))
  return {
    pid: child.pid ?? 0,
    run: async (command, lines = []) => {
      child.stdin.write(`${[command, ...lines].join('\n')}\n`)
      const { value, done } = await replies.next()
      if (!done) return parse(value)
      await closed
      throw new Error(`the driver gave up: ${words.trim()}`)
    },
    stop: async () => {
      child.stdin.end()
      child.kill('SIGKILL')
      await closed
    },
  }
}

/** Starts an opener for the duration of `work`. */
export const withOpener = async <T>(
  server: { host: string; port: number },
  work: (opener: Opener) => Promise<T>,
): Promise<T> => {
  const opener = startOpener(server)
  try {
    return await work(opener)
  } finally {
    await opener.stop()
  }
}

/** Throws unless all responses are `expected`. */
export const expectAnswers = (outcome: Pick<Outcome, 'answers'>, expected: string, count: number): void => {
  if (outcome.answers[expected] === count) return
  const got = Object.entries(outcome.answers).map(([answer, times]) => `${answer} ×${times}`)
  throw new Error(`expected ${count} answers of ${expected}, got ${got.join(', ') || 'none'}`)
}

/** Encodes text or bytes as a WebSocket frame of a client, in hex, with a zero mask. */
export const frameHex = (message: string | Uint8Array): string => {
  const payload = Buffer.from(message as string)
  if (payload.length > 65_535) throw new RangeError('too long for the bench')
  const short = payload.length < 126
  const opcode = typeof message === 'string' ? 0x81 : 0x82
  const size = short ? [0x80 | payload.length] : [0x80 | 126, payload.length >> 8, payload.length & 255]
  return Buffer.concat([Buffer.from([opcode, ...size, 0, 0, 0, 0]), payload]).toString('hex')
}

/** An HTTP request in hex. */
export const requestHex = (
  { host, port }: { host: string; port: number },
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body = '',
): string => {
  const lines = Object.entries({ host: `${host}:${port}`, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  )
  const length = body === '' ? '' : `content-length: ${Buffer.byteLength(body)}\r\n`
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines.join('')}${length}\r\n${body}`).toString('hex')
}
