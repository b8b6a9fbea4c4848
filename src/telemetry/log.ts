// telemetry/: logs and metrics. It is told what happened, and decides nothing.

import { createRequire } from 'node:module'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'
import { type DestinationStream, destination, type Logger, pino } from 'pino'

export type Log = Logger

type PinoPretty = typeof import('pino-pretty')

// Nothing here logs a secret. Should an embedding application hand one to this log, the usual names are blanked.
const secretNames = ['ticket', 'token', 'pwd', 'password', 'secret', 'key', 'authorization', 'cookie']

// A reader of the log that stalls must not stall the server: lines wait in memory, and beyond this they are dropped.
const maxBufferedBytes = 8 * 1024 * 1024

const stateName = 'ticketgate.log'

/** How many lines all threads of this process have dropped: the first thread begins to count, the others join. */
function countOfProcess(): Int32Array {
  const known = getEnvironmentData(stateName) as Int32Array | undefined
  if (known !== undefined) return known
  const count = new Int32Array(new SharedArrayBuffer(4))
  setEnvironmentData(stateName, count)
  return count
}

const dropped = countOfProcess()

/** How many log lines could not be written, because their reader is too slow, over all threads. */
export const droppedLogLines = (): number => Atomics.load(dropped, 0)

const optionsFor = (level: string) => ({
  level,
  base: { pid: process.pid },
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) },
  redact: { paths: secretNames.flatMap(name => [name, `*.${name}`]), censor: '[redacted]' },
})

/** A log that writes nothing: each line from warnings up is handed over, as the text that it would be. */
export const createWarningLog = (take: (line: string) => void): Log =>
  pino({ ...optionsFor('warn'), base: null, timestamp: false }, { write: take })

/** Structured logs on standard output, one JSON object a line; readable text on the terminal of a developer. */
export function createLog(level: string): Log {
  const options = optionsFor(level)
  const readable = readableOutput()
  if (readable !== undefined) return pino(options, readable)
  const output = standardOutput()
  const log = pino(options, output)
  tellOfDrops(output, log)
  return log
}

/** The log of a command that has standard output for something else: warnings, each told as one line of text. */
export const createCommandLog = (tell: (line: string) => void): Log =>
  pino({ level: 'warn' }, { write: line => tell(textOf(JSON.parse(line))) })

/** The message of a log line, and what it is about. */
const textOf = ({ msg, issuer, reason, hint, err }: Readonly<Record<string, unknown>>): string => {
  const fault = typeof err === 'object' && err !== null && 'message' in err ? err.message : undefined
  return [issuer, msg, reason, hint, fault].filter(part => typeof part === 'string').join(': ')
}

/** Counts the lines that are dropped, and says how many they were once the others have been written. */
function tellOfDrops(output: ReturnType<typeof destination>, log: Log): void {
  let untold = 0
  output.on('drop', () => {
    untold++
    Atomics.add(dropped, 0, 1)
  })
  output.on('drain', () => {
    if (untold === 0) return
    const lines = untold
    untold = 0
    log.warn({ lines }, 'log lines were dropped: what reads the log is too slow')
  })
}

/**
 * The terminal, by pino-pretty. That is a development dependency, so where the package is installed for use it is not
 * there, and a terminal gets the lines as they are.
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
 * Standard output, off the event loop. Its `flushSync`, which pino calls at exit, would try a pipe whose reader has gone
 * for ever and keep the process from ending: so whoever ends the process waits for `flush` instead, once, as the last
 * thing. That of the stream calls back at once, with lines still on their way; to end the stream does wait for them.
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
