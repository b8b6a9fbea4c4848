import type { Socket } from 'node:net'
import type { Log } from '../telemetry/log.js'
import type { UpstreamTarget } from './upstream-target.js'

const probeTimeoutMs = 5000
const probeIntervalMs = 500

/**
 * Whether an upstream server is reachable. After a failed connection, its port is tried until it
 * opens.
 */
export class Upstream {
  readonly #target: UpstreamTarget
  /** The path of the tunnel, for the log. */
  readonly #tunnel: string
  readonly #log: Log
  #isDown = false
  #isClosed = false
  #timer: NodeJS.Timeout | undefined
  #probe: Socket | undefined

  constructor(target: UpstreamTarget, tunnel: string, log: Log) {
    this.#target = target
    this.#tunnel = tunnel
    this.#log = log
  }

  /** Whether the last connection failed and the port has not opened since. */
  get isDown(): boolean {
    return this.#isDown
  }

  /** The server has responded, with whatever status. */
  reached(): void {
    if (!this.#isDown) return
    this.#isDown = false
    this.#stop()
    this.#log.info({ tunnel: this.#tunnel }, 'the upstream server is reachable again')
  }

  /** A connection has failed. */
  failed(reason: string): void {
    if (this.#isDown || this.#isClosed) return
    this.#isDown = true
    this.#log.warn({ tunnel: this.#tunnel, reason }, 'the upstream server is unreachable')
    this.#probeLater()
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#probe?.destroy()
    this.#probe = undefined
  }

  #probeLater(): void {
    this.#timer = setTimeout(() => this.#probeNow(), probeIntervalMs)
    this.#timer.unref()
  }

  #probeNow(): void {
    const socket = this.#target.connect(() => this.reached())
    this.#probe = socket
    socket.setTimeout(probeTimeoutMs, () => socket.destroy())
    socket.on('error', () => {})
    socket.once('close', () => {
      if (this.#isDown && !this.#isClosed) this.#probeLater()
    })
  }
}
