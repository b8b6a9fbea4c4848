import type { TemplatedApp } from 'uWebSockets.js'
import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { unixPathOf } from '../config/unix-path.js'
import { isSystemError, meansExhausted } from '../disk/errno.js'
import { type Listener, type ListenOptions, listen } from './listener.js'

const lookMs = 100
const pauseMs = 1000
const warnEveryMs = 60_000

/** How many descriptors a process reserves for its operator, over all threads. */
const reserved = 16
/** How many more must be free before it accepts connections again. */
const roomToResume = 16

/**
 * Listens, but not while the process has no file descriptor left. uWS would wake up for the
 * connections that wait, again and again, and the admin listener could take none either. So it
 * closes the listening socket, which refuses new clients at once, and gives back some descriptors
 * that it kept; when enough are free it listens again. Sockets that are open stay open.
 *
 * Not on a port of the system's choice (0): the kernel does not give that back while sockets of it
 * are open.
 * @param threads how many threads of this process listen likewise
 * @throws StartupError `port_unavailable`
 */
export async function listenWithPauses(
  app: TemplatedApp,
  options: ListenOptions,
  threads: number,
): Promise<Listener> {
  const listener = await listen(app, options)
  const isChosen = options.port === 0 && unixPathOf(options.host) === undefined
  return isChosen ? listener : new PausedListener(app, options, listener, threads)
}

class PausedListener implements Listener {
  readonly port: number
  readonly #app: TemplatedApp
  readonly #options: ListenOptions
  readonly #keeps: number
  readonly #reserve: number[]
  #listener: Listener | undefined
  #timer: NodeJS.Timeout
  #warnedMs = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(app: TemplatedApp, options: ListenOptions, listener: Listener, threads: number) {
    this.#app = app
    this.#options = options
    this.#listener = listener
    this.port = listener.port
    this.#keeps = Math.ceil(reserved / threads)
    this.#reserve = takeDescriptors(this.#keeps)
    this.#timer = this.#after(lookMs, () => this.#look())
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    giveBack(this.#reserve)
    this.#listener?.close()
  }

  #after(ms: number, act: () => void): NodeJS.Timeout {
    return setTimeout(act, ms).unref()
  }

  #look(): void {
    if (isExhausted()) this.#pause()
    else this.#timer = this.#after(lookMs, () => this.#look())
  }

  #pause(): void {
    this.#listener?.close()
    this.#listener = undefined
    giveBack(this.#reserve)
    const nowMs = performance.now()
    if (nowMs - this.#warnedMs >= warnEveryMs) {
      this.#warnedMs = nowMs
      this.#options.log.warn(
        { port: this.port },
        'no file descriptors left: new connections are refused until some are free; raise the limit on open files (ulimit -n, LimitNOFILE=)',
      )
    }
    this.#timer = this.#after(pauseMs, () => void this.#resume())
  }

  async #resume(): Promise<void> {
    const taken = takeDescriptors(this.#keeps + roomToResume)
    const isRoom = taken.length === this.#keeps + roomToResume || !isExhausted()
    if (isRoom) this.#reserve.push(...taken.splice(0, this.#keeps))
    giveBack(taken)
    if (isRoom) await this.#listenAgain()
    if (this.#isClosed) return
    this.#timer =
      this.#listener === undefined
        ? this.#after(pauseMs, () => void this.#resume())
        : this.#after(lookMs, () => this.#look())
  }

  async #listenAgain(): Promise<void> {
    try {
      const listener = await listen(this.#app, { ...this.#options, port: this.port })
      if (this.#isClosed) listener.close()
      else this.#listener = listener
    } catch (error) {
      this.#options.log.error({ err: error }, 'could not listen again')
      giveBack(this.#reserve)
    }
  }
}

/** Whether the process, or the system, has no descriptors left. */
function isExhausted(): boolean {
  try {
    closeSync(openSync(devNull, 'r'))
    return false
  } catch (error) {
    // A missing or forbidden device, as in some sandboxes, says nothing about descriptors.
    return meansExhausted(error)
  }
}

/** Takes this many descriptors, or as many as there are. */
function takeDescriptors(count: number): number[] {
  const taken: number[] = []
  try {
    while (taken.length < count) taken.push(openSync(devNull, 'r'))
  } catch (error) {
    if (!isSystemError(error)) throw error
  }
  return taken
}

/** Closes descriptors and empties their list. */
function giveBack(descriptors: number[]): void {
  for (const descriptor of descriptors.splice(0)) closeSync(descriptor)
}
