import { App } from 'uWebSockets.js'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Worker } from 'node:worker_threads'
import { clock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { type HighWaterView, keepHighWater } from '../disk/gate-keys.js'
import { StartupError } from '../errors.js'
import { listen } from '../http/listener.js'
import { connectionLimits } from '../limits/caps.js'
import { createSharedLimits, forgetThread, type SharedLimits } from '../limits/shared.js'
import type { Bus } from '../redis/bus.js'
import { createOperator, serverApi } from '../socket/control.js'
import type { Log } from '../telemetry/log.js'
import { createCounters, type Snapshot, sumSnapshots } from '../telemetry/metrics.js'
import { createRelay, type Relay, type RelayMessage, type Revocation } from '../wire/relay.js'
import { createAdmin } from './admin-listener.js'
import { type Closers, openInSteps } from './closers.js'
import { createGateLife } from './lifecycle.js'
import {
  type Gate,
  hashConcurrency,
  listenerUrl,
  maxWaitingLogins,
  openBus,
  openRevocations,
} from './parts.js'
import { openSharedReplay, type SpentMemory, shareReplayMemory } from './shared-replay.js'

/** What a worker thread is started with. */
export interface WorkerStart {
  readonly config: Config
  readonly thread: number
  readonly hashing: { readonly concurrency: number; readonly queueLimit: number }
  readonly bootSecret: Uint8Array
  /** Undefined where what was spent is in Redis: each thread asks it by itself. */
  readonly replay: SpentMemory | undefined
  readonly limits: SharedLimits
  readonly highWater: HighWaterView | undefined
  /** 1 while there is a way to the other nodes. */
  readonly busState: SharedArrayBuffer
  /** The name of the threads' own channel. */
  readonly relay: string
}

export type ToWorker =
  /** With all that was revoked until now: what is revoked after this is delivered. */
  | { readonly type: 'listen'; readonly port: number; readonly revocations: readonly Revocation[] }
  | { readonly type: 'deliver'; readonly id: number; readonly messages: readonly RelayMessage[] }
  | { readonly type: 'snapshot' | 'drain' | 'close' | 'hangup' }

export type FromWorker =
  | { readonly type: 'ready' | 'listening' }
  | { readonly type: 'snapshot' | 'drained'; readonly snapshot: Snapshot }
  /** How many sockets the messages of that delivery reached. */
  | { readonly type: 'delivered'; readonly id: number; readonly reached: number }
  | { readonly type: 'failed'; readonly code: string; readonly message: string }

// A worker that fails as soon as it listens must not be started over and over without a pause.
const restartDelayMs = 500

interface Thread {
  readonly worker: Worker
  /** Called back, by number, when it has carried out a delivery. */
  readonly deliveries: Map<number, (reached: number) => void>
  /** What it counted, as far as is known: it outlives the thread. */
  last: Snapshot
  /** Whether it has come to listen: only then is another to take its place when it dies. */
  serves: boolean
  readonly ended: Promise<void>
  /** Told that it has ended: those who wait for an answer. */
  readonly waiting: Set<() => void>
}

/**
 * A gate over several threads on one port. The main thread serves operators, keeps what all share, and starts another
 * thread where one has died; nothing that was spent is forgotten, for that is in shared memory.
 *
 * @param workerFile what a thread runs
 */
export async function buildThreads(
  config: Config,
  log: Log,
  workerFile: URL = new URL('./worker.js', import.meta.url),
): Promise<Gate> {
  return openInSteps(closers => openThreads(config, log, workerFile, closers))
}

async function openThreads(config: Config, log: Log, workerFile: URL, closers: Closers): Promise<Gate> {
  const memory = shareReplayMemory(config)
  const { replay } = closers.add(await openSharedReplay(config, log, memory))
  const highWater = closers.add(await keepHighWater(config, log))
  const revocationFile = await openRevocations(config, log)
  const bus = openBus(config, log, revocationFile)
  const busState = new SharedArrayBuffer(4)
  const limits = createSharedLimits(config.threads, connectionLimits(config))
  const start = {
    config,
    hashing: {
      concurrency: Math.max(1, Math.floor(hashConcurrency / config.threads)),
      queueLimit: Math.ceil(maxWaitingLogins / config.threads),
    },
    bootSecret: randomBytes(32),
    replay: memory,
    limits,
    highWater: highWater?.view,
    busState,
    relay: `ticketgate-${randomBytes(8).toString('hex')}`,
  }

  const threads: Thread[] = []
  let retired: Snapshot = { counters: createCounters(), connections: 0, loginsPending: 0 }
  let port = 0
  /** Whether the threads are told to end: none takes the place of another then. */
  let isEnding = false
  /** Threads that are not ready yet: a drain waits for them, for it could not end them half way. */
  const starts = new Set<Promise<Thread>>()

  function startThread(index: number): Promise<Thread> {
    const starting = openThread(index).finally(() => starts.delete(starting))
    starts.add(starting)
    return starting
  }

  /**
   * Starts thread `index` and resolves when it is ready to listen.
   * @throws what it failed of, once it has ended
   */
  async function openThread(index: number): Promise<Thread> {
    const worker = new Worker(workerFile, { workerData: { ...start, thread: index } satisfies WorkerStart })
    const thread: Thread = {
      worker,
      deliveries: new Map(),
      last: { counters: createCounters(), connections: 0, loginsPending: 0 },
      serves: false,
      ended: new Promise(resolve => worker.once('exit', () => resolve())),
      waiting: new Set(),
    }
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'snapshot' || message.type === 'drained') thread.last = message.snapshot
      else if (message.type === 'delivered') thread.deliveries.get(message.id)?.(message.reached)
    })
    worker.on('error', error => log.fatal({ err: error, thread: index }, 'a thread failed'))
    worker.once('exit', () => {
      retired = sumSnapshots([retired, { ...thread.last, connections: 0, loginsPending: 0 }])
      if (threads[index] === thread) delete threads[index]
      forgetThread(limits, index)
      for (const settle of thread.deliveries.values()) settle(0)
      for (const giveUp of thread.waiting) giveUp()
      if (thread.serves && !isEnding) replaceThread(index)
    })
    try {
      await answer(thread, 'ready')
    } catch (error) {
      await thread.ended
      throw error
    }
    threads[index] = thread
    return thread
  }

  function replaceThread(index: number): void {
    log.warn({ thread: index }, 'starting another thread in its place')
    setTimeout(async () => {
      if (isEnding) return
      try {
        const thread = await startThread(index)
        if (isEnding) return
        await listenOn(thread)
        log.info({ thread: index }, 'another thread serves in its place')
      } catch (error) {
        log.error({ err: error, thread: index }, 'could not start a thread')
        if (!isEnding) replaceThread(index)
      }
    }, restartDelayMs)
  }

  /**
   * Lets a thread listen.
   * @throws what it failed of, once it has ended
   */
  async function listenOn(thread: Thread): Promise<void> {
    const revocations = revocationFile.revocations.list(toSeconds(clock()))
    thread.worker.postMessage({ type: 'listen', port, revocations } satisfies ToWorker)
    try {
      await answer(thread, 'listening')
      thread.serves = true
    } catch (error) {
      await thread.ended
      throw error
    }
  }

  /** Ends all threads, those that are just starting as well. */
  async function endThreads(type: 'drain' | 'close'): Promise<void> {
    const end = async ({ worker, ended }: Thread): Promise<void> => {
      worker.postMessage({ type } satisfies ToWorker)
      await ended
    }
    isEnding = true
    const late = [...starts].map(start => start.then(end, () => {}))
    await Promise.all([...threads.filter(thread => thread !== undefined).map(end), ...late])
  }

  async function snapshot(): Promise<Snapshot> {
    const live = threads.filter(thread => thread !== undefined)
    await Promise.all(
      live.map(thread => {
        const answered = answer(thread, 'snapshot').catch(() => {})
        thread.worker.postMessage({ type: 'snapshot' } satisfies ToWorker)
        return answered
      }),
    )
    return sumSnapshots([retired, ...live.map(thread => thread.last)])
  }

  let deliveries = 0

  /** Lets every thread carry out messages; answers how many sockets they reached, in all. */
  async function deliver(messages: readonly RelayMessage[]): Promise<number> {
    const id = deliveries++
    const reached = await Promise.all(
      threads
        .filter(thread => thread !== undefined)
        .map(
          thread =>
            new Promise<number>(resolve => {
              thread.deliveries.set(id, count => {
                thread.deliveries.delete(id)
                resolve(count)
              })
              thread.worker.postMessage({ type: 'deliver', id, messages } satisfies ToWorker)
            }),
        ),
    )
    return reached.reduce((sum, count) => sum + count, 0)
  }

  if (bus !== undefined) closers.add(bridge(bus, createRelay(start.relay)))

  /** Carries messages between the threads here and the other nodes, on one connection for all. */
  function bridge(bus: Bus, relay: Relay): { close(): void } {
    relay.onMessage(bus.send)
    bus.onMessage(message => {
      if (message.type === 'publish') return relay.send(message)
      revocationFile.learn(message)
      void deliver([message])
    })
    const timer = setInterval(() => Atomics.store(new Int32Array(busState), 0, bus.isUp ? 1 : 0), 100)
    timer.unref()
    return {
      close() {
        clearInterval(timer)
        relay.close()
        bus.close()
      },
    }
  }

  const operator = createOperator({
    config,
    file: revocationFile,
    deliver(messages) {
      for (const message of messages) bus?.send(message)
      return deliver(messages)
    },
    clock,
  })
  const admin = closers.add(createAdmin(config, log, { replay, bus, operator, snapshot }))

  // Only the main thread is told of signals, and SIGHUP without a listener would end the process.
  const passHangup = (): void => {
    for (const thread of threads) thread?.worker.postMessage({ type: 'hangup' } satisfies ToWorker)
  }
  if (config.ticketKeysFile !== undefined) {
    process.on('SIGHUP', passHangup)
    closers.add({ close: () => process.removeListener('SIGHUP', passHangup) })
  }

  const life = createGateLife(
    {
      async listen() {
        const reserved = closers.add(await reservePort(config, log))
        port = reserved.port
        const started = await all(Array.from({ length: config.threads }, (_, index) => startThread(index)))
        await all(started.map(listenOn))
        return { url: listenerUrl(config, port), adminUrl: await admin.listen() }
      },
      drain: () => endThreads('drain'),
      async close() {
        await endThreads('close')
        closers.close()
      },
    },
    log,
  )
  return { ...serverApi(operator), ...life }
}

/** What all give, once none is under way any more; or the first reason of those that failed. */
async function all<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

/**
 * Waits for one message of a type.
 * @throws StartupError when the thread says that it failed, Error when it ends
 */
function answer({ worker, waiting }: Thread, type: FromWorker['type']): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      worker.off('message', onMessage)
      waiting.delete(onEnd)
      act()
    }
    const onMessage = (message: FromWorker): void => {
      if (message.type === type) settle(resolve)
      else if (message.type === 'failed')
        settle(() => reject(new StartupError(message.code, message.message)))
    }
    const onEnd = (): void => settle(() => reject(new Error('the thread ended')))
    // Of one that has ended before, there is no thread id any more.
    if (worker.threadId === -1) return onEnd()
    worker.on('message', onMessage)
    waiting.add(onEnd)
  })
}

/**
 * Makes sure that the port is this process's alone, though its threads will share it (SO_REUSEPORT). A listener of
 * our own, alone on the port, proves it free; it must go before the threads can listen. A name in the abstract
 * namespace of Unix sockets, which Linux keeps per network namespace as it does ports, closes the gap: of two
 * processes that start at once, one does not get it.
 */
async function reservePort(config: Config, log: Log): Promise<{ readonly port: number; close(): void }> {
  const probe = App()
  const { host, port: asked } = config
  const { port, close } = await listen(probe, {
    host,
    port: asked,
    sharing: 'exclusive',
    variable: 'TICKETGATE_PORT',
    log,
  })
  try {
    if (process.platform !== 'linux') return { port, close() {} }
    const name = createServer().listen(`\0ticketgate-port-${port}`)
    await once(name, 'listening').catch(() => {
      throw new StartupError(
        'port_unavailable',
        `cannot listen on ${host} port ${port}: another ticketgate is starting on it. Stop it, or set TICKETGATE_PORT.`,
      )
    })
    return { port, close: () => name.close() }
  } finally {
    close()
    probe.close()
  }
}
