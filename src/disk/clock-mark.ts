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

export interface ClockMarkOptions {
  readonly clock: Clock
  /** How far ahead of the clock outside tickets may be dated. */
  readonly skewMs: number
  /**
   * Receives each mark once it is on disk: outside tickets may be accepted until then, Unix
   * milliseconds.
   */
  readonly onMark: (untilMs: number) => void
  /** Called when the mark cannot be renewed. Outside tickets are refused once it is reached. */
  readonly onError: (error: Error) => void
}

const leaseMs = 5_000
const renewalMs = 1_000

/** The largest clock skew of any gate. A mark of an earlier version does not say which it was. */
const largestSkewMs = 300_000

/** What a gate leaves to the next one. Times are in Unix milliseconds. */
interface Mark {
  readonly owner: string
  /** The gate accepts outside tickets until then. */
  readonly untilMs: number
  /** All outside tickets accepted so far, by any gate with this mark, were issued before that. */
  readonly issuedBeforeMs: number
}

/**
 * A mark of the gate's clock on disk, always ahead of every outside ticket that the gate has
 * accepted. It never goes back.
 *
 * Outside tickets must be younger than the gate, which has forgotten the tickets that were spent
 * before it started. The system clock alone is not enough: if it is set back across a restart, old
 * tickets become young again. So a gate accepts outside tickets only up to a time that is already
 * on disk, and after a restart no earlier than that. The clock skew may be smaller than before the
 * restart, so the mark says as well how late the accepted tickets may be dated.
 */
export class ClockMark {
  readonly #path: string
  readonly #options: ClockMarkOptions
  readonly #owner = randomUUID()
  #earliestOutsideMs = 0
  #failed = false
  #renewal = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  private constructor(path: string, options: ClockMarkOptions) {
    this.#path = path
    this.#options = options
  }

  /**
   * Takes over the mark that an earlier life left at `path`, and keeps it ahead of the clock. If
   * two gates share a state directory, the older one gives way: it accepts no more outside tickets
   * once its mark is reached.
   *
   * @throws StartupError `clock_mark_invalid` if the file cannot be read or written
   */
  static async open(path: string, options: ClockMarkOptions): Promise<ClockMark> {
    const mark = new ClockMark(path, options)
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await mark.#takeOver()
    } catch (error) {
      throw new StartupError(
        'clock_mark_invalid',
        `cannot keep the clock mark ${path}, which tickets of outside minters need: ${error instanceof Error ? error.message : 'unknown error'}. ${accessFacts(path)}: make the state directory writable. A broken file may be removed unless the system clock was set back lately.`,
        { cause: error },
      )
    }
    mark.#timer = setInterval(() => {
      mark.#renewal = mark.#renewal.then(() => mark.#renew())
    }, renewalMs)
    mark.#timer.unref()
    return mark
  }

  /**
   * The least `issuedAt` of outside tickets that may be accepted, Unix milliseconds. The gate is
   * born at the later of the clock at the start and the mark found, and allows for the clock skew
   * from then on, or for that of an earlier gate if it was larger.
   */
  get earliestOutsideMs(): number {
    return this.#earliestOutsideMs
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #takeOver(): Promise<void> {
    return this.#locked(async check => {
      const found = await this.#read()
      const { clock, skewMs } = this.#options
      const bornAtMs = Math.max(Math.ceil(clock()), found?.untilMs ?? 0)
      this.#earliestOutsideMs = Math.max(bornAtMs + skewMs, found?.issuedBeforeMs ?? 0)
      await this.#write(found, check)
    })
  }

  async #renew(): Promise<void> {
    try {
      await this.#locked(async check => {
        const found = await this.#read()
        if (found === undefined)
          throw new Error(
            `the clock mark ${this.#path} is missing: restart the gate for a new one, unless another gate has it now`,
          )
        if (found.owner !== this.#owner) throw new Error(`another gate has taken over ${this.#path}`)
        await this.#write(found, check)
      })
      this.#failed = false
    } catch (error) {
      if (!this.#failed && error instanceof Error) this.#options.onError(error)
      this.#failed = true
    }
  }

  #locked(work: (check: () => Promise<void>) => Promise<void>): Promise<void> {
    return withLock(`${this.#path}.lock`, work)
  }

  /**
   * Reads the mark. If another gate began a write before its lock was broken, that write must not
   * take effect later.
   */
  async #read(): Promise<Mark | undefined> {
    await cancelReplacements(this.#path)
    return readMark(this.#path)
  }

  /**
   * Never writes a time before those in `found`: a life before the last one may have had a clock
   * ahead of ours, or a larger skew.
   */
  async #write(found: Mark | undefined, check: () => Promise<void>): Promise<void> {
    const { clock, skewMs, onMark } = this.#options
    const untilMs = Math.max(Math.ceil(clock()) + leaseMs, found?.untilMs ?? 0)
    const issuedBeforeMs = Math.max(untilMs + skewMs, found?.issuedBeforeMs ?? 0)
    const mark: Mark = { owner: this.#owner, untilMs, issuedBeforeMs }
    await replaceFile(this.#path, JSON.stringify(mark), check)
    onMark(untilMs)
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
    const { owner, untilMs, issuedBeforeMs = Number(untilMs) + largestSkewMs } = mark
    if (typeof owner === 'string' && Number.isSafeInteger(untilMs) && Number.isSafeInteger(issuedBeforeMs))
      return { owner, untilMs: untilMs as number, issuedBeforeMs: issuedBeforeMs as number }
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
