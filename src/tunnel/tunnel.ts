import type { Config } from '../config/schema.js'
import type { TunnelRoute } from '../config/tunnels.js'
import { isCompressed } from '../socket/compression.js'
import { spreadMs } from '../socket/drain.js'
import { childLog, type Log } from '../telemetry/log.js'
import { LogSampler } from '../telemetry/log-sampler.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import { writeNonce } from '../ticket/nonce.js'
import { Upstream } from './upstream.js'
import type { UpstreamTarget } from './upstream-target.js'

// A server behind sends more than a client may: it is trusted not to fill the memory.
const minUpstreamBytes = 1_048_576

// Sooner, it would hardly be back.
const leastRetryMs = 500

const maskBytes = 4
const nonce = Buffer.alloc(16)

export interface TunnelOptions {
  readonly config: Config
  readonly counters: Counters
  readonly log: Log
}

/** What ends at once when the gate is closed. */
interface Endable {
  terminate(): void
}

/** What all sockets of one tunnel have in common. */
export class Tunnel {
  /** Its path, by which it goes in logs and metrics. */
  readonly name: string
  readonly upstream: Upstream
  readonly maxMessageBytes: number
  /** The largest message of the server behind. */
  readonly maxUpstreamBytes: number
  /** How much may wait for one that reads slowly, on either side. */
  readonly maxBufferedBytes: number
  readonly #isCompressing: boolean
  readonly #counters: Counters
  readonly #log: Log
  readonly #sampler = new LogSampler()
  /** Those whose side behind is not closed yet. */
  readonly #relays = new Set<Endable>()

  constructor(
    { path, maxMessageBytes }: TunnelRoute,
    target: UpstreamTarget,
    { config, counters, log }: TunnelOptions,
  ) {
    this.name = path
    this.#log = childLog(log, { tunnel: path })
    this.#counters = counters
    this.upstream = new Upstream(target, this.#log)
    this.maxMessageBytes = maxMessageBytes ?? config.maxMessageBytes
    this.maxUpstreamBytes = Math.max(this.maxMessageBytes, minUpstreamBytes)
    this.maxBufferedBytes = Math.max(config.maxBackpressureBytes, this.maxMessageBytes)
    this.#isCompressing = config.compression !== 'off'
  }

  /** How many sockets behind are open, or about to close. */
  get size(): number {
    return this.#relays.size
  }

  opened(relay: Endable): void {
    this.#relays.add(relay)
    increment(this.#counters.tunnelsOpened, this.name)
  }

  /** The side of a client is closed. */
  closed(): void {
    increment(this.#counters.tunnelsClosed, this.name)
  }

  /** The side behind is closed. */
  gone(relay: Endable): void {
    this.#relays.delete(relay)
  }

  countFromClient(): void {
    increment(this.#counters.tunnelMessagesFromClients, this.name)
  }

  countToClient(): void {
    increment(this.#counters.tunnelMessagesToClients, this.name)
  }

  countPause(): void {
    increment(this.#counters.tunnelPauses, this.name)
  }

  countFailedDial(): void {
    increment(this.#counters.tunnelDialsFailed, this.name)
  }

  compresses(bytes: number): boolean {
    return this.#isCompressing && isCompressed(bytes)
  }

  /**
   * When a client may come back: all of them at once would be too much for a server that starts.
   */
  retryAfterMs(): number {
    return leastRetryMs + Math.random() * spreadMs(this.#relays.size)
  }

  /** Says what is wrong with the server behind, ten times a second at most. */
  log(level: 'warn', message: string, fields: Readonly<Record<string, string | number>>): void {
    const more = this.#sampler.take(message, performance.now())
    if (more !== undefined) this.#log[level]({ ...fields, ...more }, message)
  }

  /**
   * Writes a mask (RFC 6455 section 5.3) that is not zero: with that, ws would not copy the bytes
   * that it masks, and those are gone before they are sent.
   */
  readonly writeMask = (mask: Buffer): void => {
    do {
      writeNonce(nonce, 0)
      nonce.copy(mask, 0, 0, maskBytes)
    } while (mask.readUInt32LE(0) === 0)
  }

  /** Ends everything at once. */
  close(): void {
    this.upstream.close()
    for (const relay of this.#relays) relay.terminate()
  }
}
