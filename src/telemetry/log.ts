// telemetry/: logs, metrics and events. It records what happens, and decides nothing.

import { createRequire } from 'node:module'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { type DestinationStream, destination, type Logger, pino } from 'pino'

export type Log = Logger

type PinoPretty = typeof import('pino-pretty')

// Nothing here logs a secret. If an embedding application passes one to this log, the usual names
// are redacted.
const secretNames = ['ticket', 'token', 'pwd', 'password', 'secret', 'key', 'authorization', 'cookie']

// A slow reader of the log must not stall the server. Lines wait in memory, and are dropped beyond
// this limit.
const maxBufferedBytes = 8 * 1024 * 1024

const stateName = 'ticketgate.log'

/** The count of dropped lines. All threads share it; the first one creates it. */
function countOfProcess(): Int32Array {
  const known = getEnvironmentData(stateName) as Int32Array | undefined
  if (known !== undefined) return known
  const count = new Int32Array(new SharedArrayBuffer(4))
  setEnvironmentData(stateName, count)
  return count
}

const dropped = countOfProcess()

/** How many log lines of all threads were dropped because their reader was too slow. */
export const droppedLogLines = (): number => Atomics.load(dropped, 0)

const optionsFor = (level: string) => ({
  level,
  base: { pid: process.pid },
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) },
  redact: { paths: secretNames.flatMap(name => [name, `*.${name}`]), censor: '[redacted]' },
})

/** A log that writes nothing and passes each line of level warn and above to `take`, as text. */
export const createWarningLog = (take: (line: string) => void): Log =>
  pino({ ...optionsFor('warn'), base: null, timestamp: false }, { write: take })

/**
 * Creates a structured log on standard output: one JSON object per line, or readable text on a
 * developer's terminal.
 */
export function createLog(level: string): Log {
  const options = optionsFor(level)
  const readable = readableOutput()
  if (readable !== undefined) return pino(options, readable)
  const output = standardOutput()
  const log = pino(options, output)
  reportDrops(output, log)
  return log
}

/**
 * The log of a command that uses standard output for something else: warnings, as one line of text
 * each.
 */
export const createCommandLog = (tell: (line: string) => void): Log =>
  pino({ level: 'warn' }, { write: line => tell(textOf(JSON.parse(line))) })

/** The message of a log line, with its error or path. */
const textOf = ({ msg, issuer, reason, hint, err }: Readonly<Record<string, unknown>>): string => {
  const fault = typeof err === 'object' && err !== null && 'message' in err ? err.message : undefined
  return [issuer, msg, reason, hint, fault].filter(part => typeof part === 'string').join(': ')
}

/** Counts dropped lines, and logs how many there were once the others have been written. */
function reportDrops(output: ReturnType<typeof destination>, log: Log): void {
  let untold = 0
  output.on('drop', () => {
    untold++
    Atomics.add(dropped, 0, 1)
  })
  output.on('drain', () => {
    if (untold === 0) return
    const lines = untold
    untold = 0
    log.warn({ lines }, 'log lines were dropped: the reader of the log is too slow')
  })
}

/**
 * The terminal, through pino-pretty. That is a development dependency, so an installed package
 * lacks it and writes plain JSON lines.
 */
function readableOutput(): DestinationStream | undefined {
  if (!process.stdout.isTTY || process.env.NODE_ENV === 'production') return undefined
  try {
    const pretty: PinoPretty = createRequire(import.meta.url)('pino-pretty')
    return pretty({ sync: true, ignore: 'pid,hostname' })
  } catch {
    return undefined
  }
}

/**
 * Standard output, off the event loop. pino calls its `flushSync` at exit, which would retry
 * forever on a pipe without a reader and keep the process alive. So it is disabled: the code that
 * ends the process awaits `flush` instead, once, as its last step. The `flush` of the stream calls
 * back while lines are still being written; ending the stream waits for them.
 */
function standardOutput(): ReturnType<typeof destination> {
  const stream = destination({ dest: 1, sync: false, maxLength: maxBufferedBytes })
  stream.flushSync = () => {}
  stream.flush = callback => {
    stream.once('close', () => callback?.())
    stream.end()
  }
  return stream
}
