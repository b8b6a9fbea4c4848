import { Worker } from 'node:worker_threads'
import { StartupError } from '../errors.js'
import type { LogOut } from '../routes/backchannel-logout.js'
import type { Renew } from '../routes/renew.js'
import { type ChannelPage, type ChannelQuery, noChannels } from '../socket/channel-list.js'
import { type ConnectionPage, type ConnectionQuery, noConnections } from '../socket/connection-list.js'
import { noReach, type Reach } from '../socket/revoking.js'
import type { SocketOwner } from '../socket/sockets.js'
import type { PackedEvents } from '../telemetry/event-writer.js'
import type { Log } from '../telemetry/log.js'
import { idleSnapshot, type Snapshot } from '../telemetry/metrics.js'
import type { LogoutOrder } from '../token/logout-token.js'
import type { RelayMessage, Revocation } from '../wire/relay.js'
import { Questions } from './questions.js'
import type { FromWorker, ToWorker, WorkerStart } from './worker-messages.js'

/** What a thread reports to the main thread, and asks of it. */
export interface ThreadReports {
  readonly onEvents: (events: PackedEvents) => void
  readonly logOut: LogOut
  readonly renew: Renew
}

/**
 * A worker thread as the main thread sees it. It ends by itself or on request, and is not used
 * again.
 */
export class Thread {
  readonly index: number
  /** Resolves when the thread has ended, for whatever reason. */
  readonly ended: Promise<void>
  /** Whether it has started to listen. Only then is it replaced when it dies. */
  serves = false
  readonly #worker: Worker
  readonly #deliveries = new Questions<number>(0)
  readonly #revocations = new Questions<Reach>(noReach)
  readonly #connections = new Questions<ConnectionPage>(noConnections)
  readonly #channels = new Questions<ChannelPage>(noChannels)
  readonly #owners = new Questions<SocketOwner | undefined>(undefined)
  /** Its last known counts, which outlive it. */
  #last: Snapshot = idleSnapshot()
  /** Callbacks of everything that waits for a reply, called when the thread ends. */
  readonly #waiting = new Set<() => void>()
  readonly #reports: ThreadReports
  readonly #log: Log

  constructor(file: URL, start: WorkerStart, log: Log, reports: ThreadReports) {
    this.index = start.thread
    this.#log = log
    this.#reports = reports
    // Without the loaders of an application that runs from TypeScript: this file is built.
    this.#worker = new Worker(file, { workerData: start, execArgv: [] })
    this.#worker.on('message', (message: FromWorker) => this.#receive(message))
    this.#worker.on('error', error => log.fatal({ err: error, thread: this.index }, 'a thread failed'))
    this.ended = new Promise(resolve => this.#worker.once('exit', () => resolve()))
    this.#worker.once('exit', () => {
      for (const questions of this.#questions()) questions.end()
      for (const giveUp of this.#waiting) giveUp()
    })
  }

  get last(): Snapshot {
    return this.#last
  }

  /**
   * Resolves when it is ready to listen.
   * @throws its error, once it has ended
   */
  async ready(): Promise<void> {
    await this.#orEnded(this.#reply('ready'))
  }

  /**
   * Makes it listen.
   * @throws its error, once it has ended
   */
  async listen(port: number, revocations: readonly Revocation[]): Promise<void> {
    const listening = this.#reply('listening')
    this.#tell({ type: 'listen', port, revocations })
    await this.#orEnded(listening)
    this.serves = true
  }

  /** Makes it carry out messages. Returns how many sockets they reached. */
  deliver(messages: readonly RelayMessage[]): Promise<number> {
    return this.#deliveries.ask(id => this.#tell({ type: 'deliver', id, messages }))
  }

  /** Makes it carry out a revocation. */
  revoke(revocation: Revocation): Promise<Reach> {
    return this.#revocations.ask(id => this.#tell({ type: 'revoke', id, revocation }))
  }

  /** The owner of a socket of this thread, if it is one. */
  ownerOf(socket: string): Promise<SocketOwner | undefined> {
    return this.#owners.ask(id => this.#tell({ type: 'owner', id, socket }))
  }

  connections(query: ConnectionQuery): Promise<ConnectionPage> {
    return this.#connections.ask(id => this.#tell({ type: 'connections', id, query }))
  }

  channels(query: ChannelQuery): Promise<ChannelPage> {
    return this.#channels.ask(id => this.#tell({ type: 'channels', id, query }))
  }

  /** Updates `last`, unless the thread ends first. */
  async count(): Promise<void> {
    const counted = this.#reply('snapshot').catch(() => {})
    this.#tell({ type: 'snapshot' })
    await counted
  }

  /** Turns its events on or off. */
  watch(isWatched: boolean): void {
    this.#tell({ type: 'watch', isWatched })
  }

  /** Makes it reread its files. */
  hangUp(): void {
    this.#tell({ type: 'hangup' })
  }

  /** Tells it to end, and waits until it has. */
  async end(how: 'drain' | 'close'): Promise<void> {
    this.#tell({ type: how })
    await this.ended
  }

  #questions(): { end(): void }[] {
    return [this.#deliveries, this.#revocations, this.#owners, this.#connections, this.#channels]
  }

  #tell(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  #receive(message: FromWorker): void {
    if (message.type === 'snapshot' || message.type === 'drained') this.#last = message.snapshot
    else if (message.type === 'events') this.#reports.onEvents(message.events)
    else if (message.type === 'delivered') this.#deliveries.settle(message.id, message.reached)
    else if (message.type === 'revoked') this.#revocations.settle(message.id, message.reach)
    else if (message.type === 'owned') this.#owners.settle(message.id, message.owner)
    else if (message.type === 'connections') this.#connections.settle(message.id, message.page)
    else if (message.type === 'channels') this.#channels.settle(message.id, message.page)
    else if (message.type === 'logOut') void this.#carryOut(message.id, message.order)
    else if (message.type === 'renew')
      void this.#reports.renew(message.renewed).then(reach => {
        this.#tell({ type: 'renewed', id: message.id, reach })
      })
  }

  async #carryOut(id: number, order: LogoutOrder): Promise<void> {
    const outcome = await this.#reports.logOut(order).catch((error: unknown) => {
      this.#log.error({ err: error }, 'a logout failed')
      return 'failed' as const
    })
    this.#tell({ type: 'loggedOut', id, outcome })
  }

  async #orEnded(reply: Promise<void>): Promise<void> {
    try {
      await reply
    } catch (error) {
      await this.ended
      throw error
    }
  }

  /**
   * Waits for a message of a type.
   * @throws StartupError if the thread reports a failure, Error if it ends
   */
  #reply(type: FromWorker['type']): Promise<void> {
    const worker = this.#worker
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        worker.off('message', onMessage)
        this.#waiting.delete(onEnd)
        act()
      }
      const onMessage = (message: FromWorker): void => {
        if (message.type === type) settle(resolve)
        else if (message.type === 'failed')
          settle(() => reject(new StartupError(message.code, message.message)))
      }
      const onEnd = (): void => settle(() => reject(new Error('the thread ended')))
      // A thread that has ended has no thread id.
      if (worker.threadId === -1) return onEnd()
      worker.on('message', onMessage)
      this.#waiting.add(onEnd)
    })
  }
}
