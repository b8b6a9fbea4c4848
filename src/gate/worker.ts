import { parentPort, workerData } from 'node:worker_threads'
import { clock, toSeconds } from '../clock.js'
import { openKeys } from '../disk/gate-keys.js'
import { StartupError } from '../errors.js'
import { connectionLimits } from '../limits/caps.js'
import { openSharedCaps, openSharedRate } from '../limits/shared.js'
import { openRedisReplay } from '../redis/open-replay.js'
import { createLog } from '../telemetry/log.js'
import { bootKeyId, ticketKey } from '../ticket/key-ring.js'
import { createRevocations } from '../token/revocation.js'
import { createPasswordHasher } from '../users/password.js'
import { createRelay } from '../wire/relay.js'
import { createClosers } from './closers.js'
import { createFront } from './public-listener.js'
import { openSpentMemory } from './shared-replay.js'
import type { FromWorker, ToWorker, WorkerStart } from './threads.js'

/** One thread that serves: a front like any other, on what all threads share. */

const {
  config,
  thread,
  hashing,
  bootSecret,
  replay: memory,
  limits,
  highWater,
  busState,
  relay,
}: WorkerStart = workerData
const log = createLog(config.logLevel).child({ thread })
const port = parentPort
if (port === null) throw new Error('this file runs as a worker thread')
const tell = (message: FromWorker): void => port.postMessage(message)

const bootKey = ticketKey(bootKeyId, bootSecret, config.node)

// Whatever is open keeps the thread.
const closers = createClosers()
closers.add(port)

try {
  const { replay, store } =
    memory === undefined
      ? closers.add(await openRedisReplay(config, log))
      : { replay: openSpentMemory(memory), store: undefined }
  const keys = closers.add(openKeys(config, bootKey, log, highWater))
  const revocations = createRevocations()
  const front = await createFront(config, log, {
    keys,
    replay,
    store,
    caps: openSharedCaps(connectionLimits(config), limits, thread),
    logins: openSharedRate(config.loginRate, limits.logins, limits.secret),
    tickets: openSharedRate(config.ticketRate, limits.tickets, limits.secret),
    hasher: createPasswordHasher(hashing),
    revocations,
    handlers: undefined,
    isBusUp:
      config.redisUrl === undefined ? undefined : () => Atomics.load(new Int32Array(busState), 0) === 1,
    relay: closers.add(createRelay(relay)),
  })

  // An open uWS loop in a thread that ends takes the process with it, so a fault closes it first. What was spent is in
  // memory that all threads share; the main thread starts another in this one's place.
  process.on('uncaughtException', error => {
    log.fatal({ err: error }, 'a thread failed')
    front.close()
    closers.close()
  })

  port.on('message', (message: ToWorker) => {
    if (message.type === 'listen') {
      for (const revocation of message.revocations) revocations.add(revocation, toSeconds(clock()))
      front.listen(message.port, 'threads').then(
        () => tell({ type: 'listening' }),
        error => fail(error),
      )
    } else if (message.type === 'deliver') {
      const reached = message.messages.reduce((sum, each) => sum + front.deliver(each), 0)
      tell({ type: 'delivered', id: message.id, reached })
    } else if (message.type === 'hangup') process.emit('SIGHUP')
    else if (message.type === 'close') {
      front.close()
      closers.close()
    } else if (message.type === 'snapshot') tell({ type: 'snapshot', snapshot: front.snapshot() })
    else void drain()
  })

  const drain = async (): Promise<void> => {
    await front.drain()
    tell({ type: 'drained', snapshot: front.snapshot() })
    closers.close()
  }

  const fail = (error: unknown): void => {
    front.close()
    refuse(error)
  }
  tell({ type: 'ready' })
} catch (error) {
  refuse(error)
}

/** Says why this thread can not serve, and ends it. */
function refuse(error: unknown): void {
  if (error instanceof StartupError) tell({ type: 'failed', code: error.code, message: error.message })
  closers.close()
  if (!(error instanceof StartupError)) throw error
}
