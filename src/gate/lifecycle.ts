import type { Log } from '../telemetry/log.js'
import type { Gate } from './gate.js'

/** The steps to start and stop a gate. */
export interface LifecycleSteps {
  listen(): ReturnType<Gate['listen']>
  /** Refuses new work, and closes what is open in paced batches. */
  drain(): Promise<void>
  /** Closes everything at once. Does nothing the second time. */
  close(): Promise<void>
}

type State = 'new' | 'listening' | 'draining' | 'closed'

const misuse: Readonly<Record<Exclude<State, 'new'>, string>> = {
  listening: 'was called before',
  draining: 'was called after drain()',
  closed: 'was called after close()',
}

/**
 * The states of a gate: new, listening, draining, closed, in this order. Calls may come at any
 * time. Closing waits for a start in progress, so that nothing it opens stays open; a failed start
 * leaves nothing open; all calls of `drain` wait for the same drain.
 */
export class Lifecycle implements Pick<Gate, 'listen' | 'drain' | 'close'> {
  #state: State = 'new'
  #started: Promise<unknown> = Promise.resolve()
  #drained: Promise<void> | undefined
  readonly #steps: LifecycleSteps
  readonly #log: Log

  constructor(steps: LifecycleSteps, log: Log) {
    this.#steps = steps
    this.#log = log
  }

  /** Whether it is draining or closed. */
  get isEnding(): boolean {
    return this.#state === 'draining' || this.#state === 'closed'
  }

  async listen(): ReturnType<Gate['listen']> {
    if (this.#state !== 'new')
      throw new TypeError(`listen() ${misuse[this.#state]}: a gate listens once, create another one`)
    this.#state = 'listening'
    const started = this.#listen()
    this.#started = started.catch(() => {})
    return started
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    await this.#started
    await this.#steps.close()
  }

  async #listen(): ReturnType<Gate['listen']> {
    try {
      return await this.#steps.listen()
    } catch (error) {
      this.#state = 'closed'
      await this.#steps.close()
      throw error
    }
  }

  async #drain(): Promise<void> {
    if (this.#state === 'closed') return this.close()
    this.#state = 'draining'
    await this.#started
    await this.#steps.drain()
    await this.close()
    this.#log.info('stopped')
  }
}
