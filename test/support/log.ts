import type { ChildProcess } from 'node:child_process'
import type { Json } from './http.js'

const literally = (text: string): RegExp => new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'g')

/**
 * The output of a child process on standard output and error, in whole lines. It arrives through a
 * pipe, later than responses sent at the same time, so tests wait for a line. A line is known to be
 * absent once a later one has arrived, or the process has ended.
 */
export class Log {
  #text = ''
  #isOver = false
  readonly #waiting = new Set<() => void>()

  constructor(child: ChildProcess) {
    const streams = [child.stdout, child.stderr].filter(stream => stream !== null)
    let open = streams.length
    for (const stream of streams) {
      let unfinished = ''
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        const lines = unfinished + chunk
        const end = lines.lastIndexOf('\n') + 1
        unfinished = lines.slice(end)
        this.#hear(lines.slice(0, end))
      })
      stream.once('close', () => {
        this.#isOver = --open === 0
        this.#hear(unfinished)
      })
    }
  }

  /** All whole lines so far, and the unfinished one of a process that has ended. */
  get text(): string {
    return this.#text
  }

  /** The lines so far that are JSON, as a server in production writes them. */
  entries(): Json[] {
    return this.#text
      .split('\n')
      .filter(line => line.startsWith('{') && line.endsWith('}'))
      .map(line => JSON.parse(line) as Json)
  }

  /**
   * Resolves with what `find` returns, as soon as that is not undefined.
   * @param what describes it in the error
   * @throws Error with the whole log if it ends without it
   */
  async until<T>(find: (log: Log) => T | undefined, what: string): Promise<T> {
    for (;;) {
      const found = find(this)
      if (found !== undefined) return found
      // Also at the time limit of a test, which ends its children.
      if (this.#isOver) throw new Error(`not logged: ${what}\n${this.#text}`)
      await new Promise<void>(resolve => this.#waiting.add(resolve))
    }
  }

  /**
   * Resolves with the match of a pattern, as soon as it is logged.
   * @param times waits for this many matches, and resolves with the last
   */
  logged(pattern: string | RegExp, times = 1): Promise<RegExpMatchArray> {
    const matcher =
      typeof pattern === 'string'
        ? literally(pattern)
        : new RegExp(pattern, `${pattern.flags.replace('g', '')}g`)
    return this.until(({ text }) => [...text.matchAll(matcher)][times - 1], `${pattern}, ${times} times`)
  }

  /** Resolves with all JSON lines of a kind, as soon as there are `count` of them. */
  entriesThat(isOne: (entry: Json) => boolean, count = 1): Promise<Json[]> {
    return this.until(() => {
      const found = this.entries().filter(isOne)
      return found.length >= count ? found : undefined
    }, `${count} lines that ${isOne}`)
  }

  #hear(text: string): void {
    this.#text += text
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }
}
