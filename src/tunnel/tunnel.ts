import type { Config } from '../config/schema.js'
import type { TunnelRoute } from '../config/tunnels.js'
import { isCompressed } from '../socket/compression.js'
import { spreadMs } from '../socket/drain.js'
import type { Log } from '../telemetry/log.js'
import { LogSampler } from '../telemetry/log-sampler.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { FrameBatch } from './frame-batch.js'
import { Upstream } from './upstream.js'
import type { UpstreamTarget } from './upstream-target.js'

// Upstream servers are trusted not to fill the memory, so they may send more than a client.
const minUpstreamBytes = 1_048_576

// It would hardly be back sooner.
const leastRetryMs = 500

export interface TunnelOptions {
  readonly config: Config
  readonly counters: Counters
  readonly log: Log
  /** Shared by all tunnels of a thread. */
  readonly batch: FrameBatch
}

/** What is destroyed when the gate is closed. */
interface Endable {
  terminate(): void
}

/** The shared state of all sockets of one tunnel. */
export class Tunnel {
  /** Its path, which identifies it in logs and metrics. */
  readonly name: string
  readonly upstream: Upstream
  readonly batch: FrameBatch
  readonly maxMessageBytes: number
  /** The largest message of the upstream server, in bytes. */
  readonly maxUpstreamBytes: number
  /** How many bytes may wait for a slow reader, on either side. */
  readonly maxBufferedBytes: number
  /** Whether the gate offers compression to the upstream server. */
  readonly offersCompression: boolean
  readonly #isCompressing: boolean
  readonly #counters: Counters
  readonly #log: Log
  readonly #sampler = new LogSampler()
  /** Relays whose upstream side is not closed yet. */
  readonly #relays = new Set<Endable>()

  constructor(
    { path, maxMessageBytes, upstreamCompression }: TunnelRoute,
    target: UpstreamTarget,
    { config, counters, log, batch }: TunnelOptions,
  ) {
    this.name = path
    this.batch = batch
    this.#log = log
    this.#counters = counters
    this.upstream = new Upstream(target, path, log)
    this.maxMessageBytes = maxMessageBytes ?? config.maxMessageBytes
    this.maxUpstreamBytes = Math.max(this.maxMessageBytes, minUpstreamBytes)
    this.maxBufferedBytes = Math.max(config.maxBackpressureBytes, this.maxMessageBytes)
    this.offersCompression = upstreamCompression === 'on'
    this.#isCompressing = config.compression !== 'off'
  }

  /** How many upstream sockets are open, or about to close. */
  get size(): number {
    return this.#relays.size
  }

  opened(relay: Endable): void {
    this.#relays.add(relay)
    increment(this.#counters.tunnelsOpened, this.name)
  }

  /** The client's side of a relay is closed. */
  closed(): void {
    increment(this.#counters.tunnelsClosed, this.name)
  }

  /** The upstream side of a relay is closed. */
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
   * When a client may reconnect. It is random, because all clients at once would overload a
   * starting server.
   */
  retryAfterMs(): number {
    return leastRetryMs + Math.random() * spreadMs(this.#relays.size)
  }

  /** Logs a problem with the upstream server, at most ten times per second. */
  log(level: 'warn', message: string, fields: Readonly<Record<string, string | number>>): void {
    const more = this.#sampler.take(message, performance.now())
    if (more !== undefined) this.#log[level]({ tunnel: this.name, ...fields, ...more }, message)
  }

  /** Destroys everything at once. */
  close(): void {
    this.upstream.close()
    for (const relay of this.#relays) relay.terminate()
  }
}
