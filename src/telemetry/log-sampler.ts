/** How many lines of one kind are logged per second. */
const usualPerSecond = 10

interface Window {
  endsMs: number
  written: number
  omitted: number
  /** `omitted` a second ago. */
  omittedBefore: number
}

/** Receives how many lines of a kind were omitted at the end of a burst. */
type OnOver = (kind: string, omitted: number) => void

/** Limits log lines, or events, by kind, so that a flood of refusals does not fill a disk. */
export class LogSampler {
  readonly #windows = new Map<string, Window>()
  readonly #mostPerSecond: number
  readonly #onOver: OnOver | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param onOver told what was omitted and not followed by another line of that kind */
  constructor(onOver?: OnOver, mostPerSecond: number = usualPerSecond) {
    this.#onOver = onOver
    this.#mostPerSecond = mostPerSecond
  }

  /**
   * Decides whether to log a line. Returns undefined if not, else fields to add to it: how many of
   * its kind were omitted before.
   * @param kind one of a few, each of which is remembered
   */
  take(kind: string, nowMs: number): { readonly omitted?: number } | undefined {
    const window = this.#windowOf(kind, nowMs)
    if (window.written === this.#mostPerSecond) {
      window.omitted++
      if (this.#onOver !== undefined) this.#timer ??= this.#look(this.#onOver)
      return undefined
    }
    window.written++
    const { omitted } = window
    window.omitted = 0
    return omitted === 0 ? {} : { omitted }
  }

  /** Looks, every second while there is anything, for kinds of which no more was taken since. */
  #look(onOver: OnOver): NodeJS.Timeout {
    const look = (): void => {
      this.#timer = undefined
      for (const [kind, window] of this.#windows) {
        const { omitted } = window
        if (omitted === 0) continue
        if (omitted === window.omittedBefore) {
          window.omitted = 0
          onOver(kind, omitted)
        } else this.#timer ??= this.#look(onOver)
        window.omittedBefore = window.omitted
      }
    }
    return setTimeout(look, 1000).unref()
  }

  #windowOf(kind: string, nowMs: number): Window {
    let window = this.#windows.get(kind)
    if (window === undefined) {
      window = { endsMs: nowMs + 1000, written: 0, omitted: 0, omittedBefore: 0 }
      this.#windows.set(kind, window)
    } else if (nowMs >= window.endsMs) {
      window.endsMs = nowMs + 1000
      window.written = 0
    }
    return window
  }
}
