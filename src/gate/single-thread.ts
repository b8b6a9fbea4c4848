import { RefusalMemory } from '../admission/refusal-memory.js'
import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { connectionLimits, createConnectionCaps } from '../limits/caps.js'
import { type LimiterUsages, Rates } from '../limits/rates.js'
import type { GateHandlers } from '../socket/application.js'
import type { ChannelPage, ChannelQuery } from '../socket/channel-list.js'
import type { ConnectionPage, ConnectionQuery } from '../socket/connection-list.js'
import type { Reach } from '../socket/revoking.js'
import type { SocketOwner } from '../socket/sockets.js'
import type { EventHub } from '../telemetry/event-hub.js'
import type { Log } from '../telemetry/log.js'
import { createCounters, type Snapshot } from '../telemetry/metrics.js'
import { watchRuntime } from '../telemetry/runtime.js'
import { createPasswordHasher } from '../users/password.js'
import type { RelayMessage, Revocation } from '../wire/relay.js'
import { type Closers, openInSteps } from './closers.js'
import type { Engine, Uplink } from './engine.js'
import { hashingLimits } from './hashing.js'
import { openIdentity } from './identity.js'
import { WatchedSettings } from './live-settings.js'
import { PublicListener } from './public-listener.js'
import type { GateState } from './state.js'

export interface SingleThreadOptions {
  readonly config: Config
  readonly log: Log
  readonly state: GateState
  readonly uplink: Uplink
  readonly events: EventHub
  readonly handlers: GateHandlers<unknown> | undefined
}

interface SingleThreadParts {
  readonly listener: PublicListener
  readonly rates: Rates
  readonly settings: WatchedSettings
  readonly closers: Closers
  readonly port: number
}

/** Serves the public port in this thread. */
export class SingleThread implements Engine {
  readonly #listener: PublicListener
  readonly #rates: Rates
  readonly #settings: WatchedSettings
  readonly #closers: Closers
  readonly #port: number

  private constructor({ listener, rates, settings, closers, port }: SingleThreadParts) {
    this.#listener = listener
    this.#rates = rates
    this.#settings = settings
    this.#closers = closers
    this.#port = port
  }

  /** @throws StartupError `users_file_invalid`, `console_missing` */
  static open({ config, log, state, uplink, events, handlers }: SingleThreadOptions): Promise<SingleThread> {
    return openInSteps(async closers => {
      const counters = createCounters()
      closers.add(watchRuntime(counters.durations))
      const identity = await openIdentity(config, log, counters)
      const rates = Rates.alone(config)
      const listener = new PublicListener({
        config,
        log,
        counters,
        events: events.sink,
        identity,
        keys: state.keys,
        replay: state.replay,
        caps: createConnectionCaps(connectionLimits(config)),
        rates,
        hasher: createPasswordHasher({ ...hashingLimits(1), waits: counters.durations.passwordQueue }),
        revocations: state.revocationFile.revocations,
        refusals: new RefusalMemory(),
        handlers,
        uplink,
      })
      const settings = closers.add(
        new WatchedSettings({ config, log, apply: changed => listener.set(changed) }),
      )
      return new SingleThread({ listener, rates, settings, closers, port: config.port })
    })
  }

  listen(): Promise<number> {
    return this.#listener.listen(this.#port, 'exclusive')
  }

  drain(): Promise<void> {
    return this.#listener.drain()
  }

  async close(): Promise<void> {
    this.#listener.close()
    this.#closers.close()
  }

  async deliver(messages: readonly RelayMessage[]): Promise<number> {
    return this.#listener.deliver(messages)
  }

  async revoke(revocation: Revocation): Promise<Reach> {
    return this.#listener.revoke(revocation)
  }

  async ownerOf(socket: string): Promise<SocketOwner | undefined> {
    return this.#listener.ownerOf(socket)
  }

  connections(query: ConnectionQuery): Promise<ConnectionPage> {
    return this.#listener.connections(query)
  }

  channels(query: ChannelQuery): Promise<ChannelPage> {
    return this.#listener.channels(query)
  }

  /** This thread reports to the hub directly. */
  watch(): void {}

  async snapshot(): Promise<Snapshot> {
    return this.#listener.snapshot()
  }

  get maxConnections(): number {
    return this.#settings.current.maxConnections
  }

  limiters(): LimiterUsages {
    return this.#rates.usages(clock())
  }
}
