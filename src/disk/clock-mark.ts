import { randomUUID } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../clock.js'
import { StartupError } from '../errors.js'
import { isJsonObject } from '../protocol.js'
import { accessFacts } from './access.js'
import { errnoOf } from './errno.js'
import { withLock } from './lock.js'
import { cancelReplacements, replaceFile } from './replace-file.js'

/**
 * A mark of the gate's clock on disk, always ahead of every outside ticket it has accepted. It never goes back.
 *
 * Outside tickets must be younger than the gate, for what an earlier life of it spent is forgotten. The system clock
 * alone can not tell: set back across a restart, it would make old tickets young again. So a gate accepts outside
 * tickets only until a time that it has written down before, and the next life is born no earlier than that.
 */
export interface ClockMark {
  /** The later of the clock at the start and the mark found, Unix milliseconds. */
  readonly bornAtMs: number
  close(): void
}

export interface ClockMarkOptions {
  readonly clock: Clock
  /** Told each mark once it is on disk: outside tickets may be accepted before it, Unix milliseconds. */
  readonly onMark: (untilMs: number) => void
  /** Told when the mark can not be renewed; outside tickets are refused once it is reached. */
  readonly onError: (error: Error) => void
}

const leaseMs = 5_000
const renewalMs = 1_000

interface Mark {
  readonly owner: string
  readonly untilMs: number
}

/**
 * Takes the mark at `path` over from an earlier life, and keeps it ahead of the clock.
 * Two gates that are given one state directory are told apart: the elder gives way, and accepts no more outside
 * tickets once its mark is reached.
 * @throws StartupError `clock_mark_invalid` when the file is not ours to read or write
 */
export async function openClockMark(
  path: string,
  { clock, onMark, onError }: ClockMarkOptions,
): Promise<ClockMark> {
  const owner = randomUUID()
  const lock = `${path}.lock`

  // What another gate began before its lock was broken must not come after what is read here.
  const take = async (): Promise<Mark | undefined> => {
    await cancelReplacements(path)
    return readMark(path)
  }

  // Never before a mark that is there: it may be that of a life before the last one, whose clock was ahead of ours.
  const write = async (found: Mark | undefined, check: () => Promise<void>): Promise<number> => {
    const untilMs = Math.max(Math.ceil(clock()) + leaseMs, found?.untilMs ?? 0)
    const mark: Mark = { owner, untilMs }
    await replaceFile(path, JSON.stringify(mark), check)
    return mark.untilMs
  }

  let bornAtMs: number
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    bornAtMs = await withLock(lock, async check => {
      const found = await take()
      const born = Math.max(Math.ceil(clock()), found?.untilMs ?? 0)
      onMark(await write(found, check))
      return born
    })
  } catch (error) {
    throw new StartupError(
      'clock_mark_invalid',
      `cannot keep the clock mark ${path}, which tickets of outside minters need: ${error instanceof Error ? error.message : 'unknown error'}. ${accessFacts(path)}: make the state directory writable. A broken file may be removed, where the system clock was not set back lately.`,
      { cause: error },
    )
  }

  let failed = false
  const renew = async (): Promise<void> => {
    try {
      await withLock(lock, async check => {
        const found = await take()
        if (found?.owner !== owner) throw new Error(`another gate has taken ${path} over`)
        onMark(await write(found, check))
      })
      failed = false
    } catch (error) {
      if (!failed && error instanceof Error) onError(error)
      failed = true
    }
  }
  let renewal = Promise.resolve()
  const timer = setInterval(() => {
    renewal = renewal.then(renew)
  }, renewalMs)
  timer.unref()

  return {
    bornAtMs,
    close: () => clearInterval(timer),
  }
}

async function readMark(path: string): Promise<Mark | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  const mark = parsed(text)
  if (isJsonObject(mark)) {
    const { owner, untilMs } = mark
    if (typeof owner === 'string' && Number.isSafeInteger(untilMs))
      return { owner, untilMs: untilMs as number }
  }
  throw new Error('it holds no mark')
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
