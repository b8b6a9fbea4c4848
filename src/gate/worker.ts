import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { LogoutOutcome } from '../admission/logouts.js'
import { RefusalMemory } from '../admission/refusal-memory.js'
import { clock, toSeconds } from '../clock.js'
import { openTicketKeys } from '../disk/gate-keys.js'
import { StartupError } from '../errors.js'
import { connectionLimits } from '../limits/caps.js'
import { Rates } from '../limits/rates.js'
import { SharedConnectionCaps } from '../limits/shared-caps.js'
import type { RenewReach } from '../routes/renew.js'
import { EventSink } from '../telemetry/events.js'
import { createLog, type Log } from '../telemetry/log.js'
import { createCounters } from '../telemetry/metrics.js'
import { watchRuntime } from '../telemetry/runtime.js'
import { bootKeyId, ticketKey } from '../ticket/key-ring.js'
import { createRevocations, type Revocations } from '../token/revocation.js'
import { createPasswordHasher } from '../users/password.js'
import { ThreadRelay } from '../wire/thread-relay.js'
import { type Closers, createClosers } from './closers.js'
import { EventBatch } from './event-batch.js'
import { hashingLimits } from './hashing.js'
import { openIdentity } from './identity.js'
import { WatchedSettings } from './live-settings.js'
import { PublicListener } from './public-listener.js'
import { Questions } from './questions.js'
import { openThreadReplay } from './replay.js'
import type { FromWorker, ToWorker, WorkerStart } from './worker-messages.js'

/** The program of a thread of the pool: a public listener on shared state. */

/** The events of this thread, on their way to the main thread. */
interface ThreadEvents {
  readonly sink: EventSink
  readonly batch: EventBatch
}

interface ServerParts {
  readonly port: MessagePort
  readonly listener: PublicListener
  readonly revocations: Revocations
  readonly events: ThreadEvents
  readonly logouts: Questions<LogoutOutcome>
  readonly renewals: Questions<RenewReach>
  readonly closers: Closers
}

/** The server of this thread, controlled by messages on its port. */
class Server {
  readonly #port: MessagePort
  readonly #listener: PublicListener
  readonly #revocations: Revocations
  readonly #events: ThreadEvents
  readonly #logouts: Questions<LogoutOutcome>
  readonly #renewals: Questions<RenewReach>
  readonly #closers: Closers

  constructor({ port, listener, revocations, events, logouts, renewals, closers }: ServerParts) {
    this.#port = port
    this.#listener = listener
    this.#revocations = revocations
    this.#events = events
    this.#logouts = logouts
    this.#renewals = renewals
    this.#closers = closers
  }

  tell(message: FromWorker): void {
    this.#port.postMessage(message)
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case 'listen':
        for (const revocation of message.revocations) this.#revocations.add(revocation, toSeconds(clock()))
        this.#listener.listen(message.port, 'threads').then(
          () => this.tell({ type: 'listening' }),
          error => {
            this.#listener.close()
            refuse(this.#port, this.#closers, error)
          },
        )
        return
      case 'deliver':
        return this.tell({
          type: 'delivered',
          id: message.id,
          reached: this.#listener.deliver(message.messages),
        })
      case 'revoke':
        return this.tell({
          type: 'revoked',
          id: message.id,
          reach: this.#listener.revoke(message.revocation),
        })
      case 'owner':
        return this.tell({ type: 'owned', id: message.id, owner: this.#listener.ownerOf(message.socket) })
      case 'connections':
        return void this.#listener
          .connections(message.query)
          .then(page => this.tell({ type: 'connections', id: message.id, page }))
      case 'channels':
        return void this.#listener
          .channels(message.query)
          .then(page => this.tell({ type: 'channels', id: message.id, page }))
      case 'watch':
        this.#events.sink.isOn = message.isWatched
        return
      case 'loggedOut':
        return this.#logouts.settle(message.id, message.outcome)
      case 'renewed':
        return this.#renewals.settle(message.id, message.reach)
      case 'snapshot':
        return this.tell({ type: 'snapshot', snapshot: this.#listener.snapshot() })
      case 'hangup':
        return void process.emit('SIGHUP')
      case 'drain':
        return void this.#drain()
      case 'close':
        return this.close()
    }
  }

  close(): void {
    this.#listener.close()
    this.#events.batch.flush()
    this.#closers.close()
  }

  async #drain(): Promise<void> {
    await this.#listener.drain()
    this.#events.batch.flush()
    this.tell({ type: 'drained', snapshot: this.#listener.snapshot() })
    this.#closers.close()
  }
}

async function open(start: WorkerStart, port: MessagePort, log: Log, closers: Closers): Promise<Server> {
  const { config, thread, limits } = start
  const counters = createCounters()
  closers.add(watchRuntime(counters.durations))
  const replay = closers.add(await openThreadReplay(config, log, start.memory))
  const bootKey = ticketKey(bootKeyId, start.bootSecret, config.node)
  const keys = closers.add(openTicketKeys(config, bootKey, log, start.clockMark))
  const revocations = createRevocations()
  const busState = new Int32Array(start.busState)
  const relay = closers.add(new ThreadRelay(start.relay))
  const batch = new EventBatch(events => {
    port.postMessage({ type: 'events', events } satisfies FromWorker, [events.bytes.buffer as ArrayBuffer])
  })
  const sink = new EventSink(events => batch.add(events), clock)
  const logouts = new Questions<LogoutOutcome>('failed')
  const renewals = new Questions<RenewReach>({ extended: 0, forwarded: false })
  const listener = new PublicListener({
    config,
    log,
    counters,
    events: sink,
    identity: await openIdentity(config, log, counters),
    keys,
    replay,
    caps: new SharedConnectionCaps(connectionLimits(config), limits, thread),
    rates: Rates.shared(config, limits),
    hasher: createPasswordHasher({
      ...hashingLimits(config.threads),
      waits: counters.durations.passwordQueue,
    }),
    revocations,
    refusals: new RefusalMemory(start.refusals),
    handlers: undefined,
    uplink: {
      send: message => relay.send(message),
      logOut: order =>
        logouts.ask(id => port.postMessage({ type: 'logOut', id, order } satisfies FromWorker)),
      renew: renewed =>
        renewals.ask(id => port.postMessage({ type: 'renew', id, renewed } satisfies FromWorker)),
      isBusUp: config.redisUrl === undefined ? undefined : () => Atomics.load(busState, 0) === 1,
    },
  })
  relay.onMessage(message => void listener.deliver([message]))
  closers.add(new WatchedSettings({ config, log, apply: settings => listener.set(settings) }))
  return new Server({ port, listener, revocations, events: { sink, batch }, logouts, renewals, closers })
}

/** Reports why this thread cannot serve, and ends it. */
function refuse(port: MessagePort, closers: Closers, error: unknown): void {
  if (error instanceof StartupError)
    port.postMessage({ type: 'failed', code: error.code, message: error.message } satisfies FromWorker)
  closers.close()
  if (!(error instanceof StartupError)) throw error
}

async function run(start: WorkerStart, port: MessagePort): Promise<void> {
  const log = createLog(start.config.logLevel).child({ thread: start.thread })
  // Anything left open would keep the thread alive.
  const closers = createClosers()
  closers.add(port)
  try {
    const server = await open(start, port, log, closers)
    // A thread that ends with an open uWS loop takes the process with it, so a fault closes the
    // loop first. Spent tickets are in shared memory, and the main thread starts another thread.
    process.on('uncaughtException', error => {
      log.fatal({ err: error }, 'a thread failed')
      server.close()
    })
    port.on('message', (message: ToWorker) => server.receive(message))
    server.tell({ type: 'ready' })
  } catch (error) {
    refuse(port, closers, error)
  }
}

if (parentPort === null) throw new Error('this file must run as a worker thread')
await run(workerData as WorkerStart, parentPort)
