import { randomBytes } from 'node:crypto'
import { createRefusalBuffer } from '../admission/refusal-memory.js'
import { clock, steadyClock, toSeconds } from '../clock.js'
import type { LiveSettings } from '../config/live-settings.js'
import type { Config } from '../config/schema.js'
import { watchedFiles } from '../config/watched-files.js'
import { connectionLimits } from '../limits/caps.js'
import { type LimiterUsages, Rates } from '../limits/rates.js'
import { createSharedLimits, forgetThread } from '../limits/shared-limits.js'
import { type ChannelPage, type ChannelQuery, mergeChannels } from '../socket/channel-list.js'
import { type ConnectionPage, type ConnectionQuery, mergeConnections } from '../socket/connection-list.js'
import { type Reach, sumReach } from '../socket/revoking.js'
import type { SocketOwner } from '../socket/sockets.js'
import type { EventHub } from '../telemetry/event-hub.js'
import type { Log } from '../telemetry/log.js'
import { idleSnapshot, type Snapshot, sumSnapshots } from '../telemetry/metrics.js'
import type { RelayMessage, Revocation } from '../wire/relay.js'
import { ThreadRelay } from '../wire/thread-relay.js'
import { type Closers, createClosers } from './closers.js'
import type { Engine, Uplink } from './engine.js'
import { WatchedSettings } from './live-settings.js'
import { reservePort } from './port-reservation.js'
import type { GateState } from './state.js'
import { Thread } from './thread.js'
import type { WorkerStart } from './worker-messages.js'

const workerFile = new URL('./worker.js', import.meta.url)

// A pause before the restart of a thread that fails as soon as it listens.
const restartDelayMs = 500

const busStateIntervalMs = 100

export interface ThreadPoolOptions {
  readonly config: Config
  readonly log: Log
  readonly state: GateState
  readonly uplink: Uplink
  readonly events: EventHub
}

/**
 * Serves the public port in several worker threads. The main thread owns what they share, and
 * replaces a thread that dies. No spent ticket is forgotten then, because those are in shared
 * memory.
 */
export class ThreadPool implements Engine {
  readonly #config: Config
  readonly #log: Log
  readonly #state: GateState
  readonly #events: EventHub
  #start: Omit<WorkerStart, 'thread'>
  readonly #uplink: Uplink
  /** Those of all threads, to read what they do. */
  readonly #rates: Rates
  readonly #closers: Closers = createClosers()
  readonly #threads: (Thread | undefined)[] = []
  /**
   * Threads that are still starting. Closing waits for them, because a half-started thread cannot
   * be ended.
   */
  readonly #starts = new Set<Promise<Thread>>()
  /** The counts of threads that have ended. */
  #retired: Snapshot = idleSnapshot()
  #port = 0
  #maxConnections: number
  /** Whether the threads have been told to end. They are not replaced then. */
  #isEnding = false

  constructor({ config, log, state, uplink, events }: ThreadPoolOptions) {
    this.#config = config
    this.#log = log
    this.#state = state
    this.#events = events
    this.#uplink = uplink
    this.#maxConnections = config.maxConnections
    this.#start = {
      config,
      bootSecret: state.bootSecret,
      memory: state.memory,
      refusals: createRefusalBuffer(),
      limits: createSharedLimits(config.threads, connectionLimits(config)),
      clockMark: state.clockMark,
      busState: new SharedArrayBuffer(4),
      relay: `ticketgate-${randomBytes(8).toString('hex')}`,
    }
    this.#rates = Rates.shared(config, this.#start.limits)
    this.#watchSettings()
    if (uplink.isBusUp !== undefined) this.#connect(uplink.send, uplink.isBusUp)
    if (watchedFiles(config).length > 0) this.#passHangups()
  }

  async listen(): Promise<number> {
    this.#port = await this.#reservePort()
    const indexes = Array.from({ length: this.#config.threads }, (_, index) => index)
    const threads = await all(indexes.map(index => this.#startThread(index)))
    await all(threads.map(thread => this.#listenOn(thread)))
    return this.#port
  }

  drain(): Promise<void> {
    return this.#end('drain')
  }

  async close(): Promise<void> {
    await this.#end('close')
    this.#closers.close()
  }

  async deliver(messages: readonly RelayMessage[]): Promise<number> {
    const own = messages.map(withOwnBytes)
    const reached = await Promise.all(this.#live().map(thread => thread.deliver(own)))
    return reached.reduce((sum, count) => sum + count, 0)
  }

  async revoke(revocation: Revocation): Promise<Reach> {
    return sumReach(await Promise.all(this.#live().map(thread => thread.revoke(revocation))))
  }

  async ownerOf(socket: string): Promise<SocketOwner | undefined> {
    const owners = await Promise.all(this.#live().map(thread => thread.ownerOf(socket)))
    return owners.find(owner => owner !== undefined)
  }

  async connections(query: ConnectionQuery): Promise<ConnectionPage> {
    const pages = await Promise.all(this.#live().map(thread => thread.connections(query)))
    return mergeConnections(pages, query.limit)
  }

  async channels(query: ChannelQuery): Promise<ChannelPage> {
    const pages = await Promise.all(this.#live().map(thread => thread.channels(query)))
    return mergeChannels(pages, query.limit)
  }

  watch(isWatched: boolean): void {
    for (const thread of this.#live()) thread.watch(isWatched)
  }

  async snapshot(): Promise<Snapshot> {
    await Promise.all(this.#live().map(thread => thread.count()))
    // A thread that has ended in the meantime is among the retired.
    return sumSnapshots([this.#retired, ...this.#live().map(({ last }) => last)])
  }

  get maxConnections(): number {
    return this.#maxConnections
  }

  limiters(): LimiterUsages {
    return this.#rates.usages(clock())
  }

  #live(): Thread[] {
    return this.#threads.filter(thread => thread !== undefined)
  }

  async #reservePort(): Promise<number> {
    const { host, port } = this.#config
    const reserved = await reservePort(host, port, this.#log)
    this.#closers.add(reserved)
    return reserved.port
  }

  /**
   * Sends what the threads publish to the other nodes, and tells the threads whether the bus is up.
   */
  #connect(send: Uplink['send'], isBusUp: () => boolean): void {
    const relay = this.#closers.add(new ThreadRelay(this.#start.relay))
    relay.onMessage(send)
    const word = new Int32Array(this.#start.busState)
    const timer = setInterval(() => Atomics.store(word, 0, isBusUp() ? 1 : 0), busStateIntervalMs)
    timer.unref()
    this.#closers.add({ close: () => clearInterval(timer) })
  }

  /** Each thread reads settings by itself. Those that start later begin with the latest. */
  #watchSettings(): void {
    const apply = (settings: LiveSettings): void => {
      this.#rates.set(settings)
      this.#maxConnections = settings.maxConnections
      // Which caps are on is decided at the start.
      const { maxConnectionsPerUser, maxConnectionsPerAddress, ...latest } = settings
      this.#start = { ...this.#start, config: { ...this.#start.config, ...latest } }
    }
    this.#closers.add(new WatchedSettings({ config: this.#config, log: this.#log, apply }))
  }

  /**
   * Passes SIGHUP to the threads. Only the main thread receives signals, and without a listener
   * SIGHUP would end the process.
   */
  #passHangups(): void {
    const pass = (): void => {
      for (const thread of this.#live()) thread.hangUp()
    }
    process.on('SIGHUP', pass)
    this.#closers.add({ close: () => process.removeListener('SIGHUP', pass) })
  }

  #startThread(index: number): Promise<Thread> {
    const starting = this.#openThread(index).finally(() => this.#starts.delete(starting))
    this.#starts.add(starting)
    return starting
  }

  /**
   * Starts a thread. Resolves when it is ready to listen.
   * @throws its error, once it has ended
   */
  async #openThread(index: number): Promise<Thread> {
    const thread = new Thread(workerFile, { ...this.#start, thread: index }, this.#log, {
      onEvents: events => this.#events.add(events),
      logOut: this.#uplink.logOut,
      renew: this.#uplink.renew,
    })
    thread.ended.then(() => this.#retire(thread))
    await thread.ready()
    thread.watch(this.#events.sink.isOn)
    this.#threads[index] = thread
    return thread
  }

  #retire(thread: Thread): void {
    const { index } = thread
    this.#retired = sumSnapshots([this.#retired, idleSnapshot(thread.last.counters)])
    if (this.#threads[index] === thread) delete this.#threads[index]
    forgetThread(this.#start.limits, index)
    // The other threads know nothing about what happened to its sockets.
    if (thread.serves && !this.#isEnding && this.#events.sink.isOn)
      this.#events.sink.tell('reset', { reason: 'thread' })
    if (thread.serves && !this.#isEnding) this.#replaceThread(index)
  }

  #replaceThread(index: number): void {
    this.#log.warn({ thread: index }, 'replacing the thread')
    setTimeout(async () => {
      if (this.#isEnding) return
      try {
        const thread = await this.#startThread(index)
        if (this.#isEnding) return
        await this.#listenOn(thread)
        this.#log.info({ thread: index }, 'the replacement thread is serving')
      } catch (error) {
        this.#log.error({ err: error, thread: index }, 'could not start a thread')
        if (!this.#isEnding) this.#replaceThread(index)
      }
    }, restartDelayMs)
  }

  #listenOn(thread: Thread): Promise<void> {
    const { revocations } = this.#state.revocationFile
    return thread.listen(this.#port, revocations.list(toSeconds(steadyClock())))
  }

  /** Ends all threads, including starting ones. */
  async #end(how: 'drain' | 'close'): Promise<void> {
    this.#isEnding = true
    const late = [...this.#starts].map(start =>
      start.then(
        thread => thread.end(how),
        () => {},
      ),
    )
    await Promise.all([...this.#live().map(thread => thread.end(how)), ...late])
  }
}

/** Copies the bytes: posting a view would copy all of its memory to the other threads. */
const withOwnBytes = (message: RelayMessage): RelayMessage =>
  message.type === 'publish' && message.data.byteLength !== message.data.buffer.byteLength
    ? { ...message, data: new Uint8Array(message.data) }
    : message

/** Resolves with all results once no promise is pending, or rejects with the first failure. */
async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}
