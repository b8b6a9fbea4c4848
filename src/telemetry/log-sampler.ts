/** How many lines of one kind are logged per second. */
const usualPerSecond = 10

interface Window {
  endsMs: number
  written: number
  omitted: number
}

/** Limits log lines, or events, by kind, so that a flood of refusals does not fill a disk. */
export class LogSampler {
  readonly #windows = new Map<string, Window>()
  readonly #mostPerSecond: number

  constructor(mostPerSecond: number = usualPerSecond) {
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
      return undefined
    }
    window.written++
    const { omitted } = window
    window.omitted = 0
    return omitted === 0 ? {} : { omitted }
  }

  #windowOf(kind: string, nowMs: number): Window {
    let window = this.#windows.get(kind)
    if (window === undefined) {
      window = { endsMs: nowMs + 1000, written: 0, omitted: 0 }
      this.#windows.set(kind, window)
    } else if (nowMs >= window.endsMs) {
      window.endsMs = nowMs + 1000
      window.written = 0
    }
    return window
  }
}
