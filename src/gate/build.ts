import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { keepHighWater, openKeys } from '../disk/gate-keys.js'
import type { RevocationFile } from '../disk/revocation-file.js'
import { connectionLimits, createConnectionCaps } from '../limits/caps.js'
import { createRateLimiter } from '../limits/rate.js'
import type { Bus } from '../redis/bus.js'
import type { OpenReplay } from '../redis/open-replay.js'
import { createMemoryReplayCache } from '../replay/memory.js'
import type { GateHandlers } from '../socket/application.js'
import { createOperator, serverApi } from '../socket/control.js'
import type { Log } from '../telemetry/log.js'
import type { Snapshot } from '../telemetry/metrics.js'
import { createBootKey } from '../ticket/key-ring.js'
import { createPasswordHasher } from '../users/password.js'
import type { Relay } from '../wire/relay.js'
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
import { createFront } from './public-listener.js'
import { keepTurning, openSharedReplay, shareReplayMemory } from './shared-replay.js'
import { buildThreads } from './threads.js'

/**
 * Builds a gate: in this thread, or over several.
 * @throws StartupError `users_file_invalid`, `high_water_invalid`, `revocations_invalid`, `redis_evicts`, `console_missing`
 * @throws TypeError for handlers over several threads, which share no functions
 */
export async function buildGate(
  config: Config,
  log: Log,
  handlers?: GateHandlers<unknown> | undefined,
): Promise<Gate> {
  if (config.threads === 1) return buildOne(config, log, handlers)
  if (handlers !== undefined) throw new TypeError('threads must be 1 where there are handlers')
  return buildThreads(config, log)
}

async function buildOne(
  config: Config,
  log: Log,
  handlers: GateHandlers<unknown> | undefined,
): Promise<Gate> {
  return openInSteps(closers => openOne(config, log, handlers, closers))
}

async function openOne(
  config: Config,
  log: Log,
  handlers: GateHandlers<unknown> | undefined,
  closers: Closers,
): Promise<Gate> {
  const revocationFile = await openRevocations(config, log)
  const bootKey = createBootKey(config.node)
  const highWater = closers.add(await keepHighWater(config, log))
  const keys = closers.add(openKeys(config, bootKey, log, highWater?.view))
  const { replay, store } = closers.add(await openReplayCache(config, log))
  const bus = closers.add(openBus(config, log, revocationFile))
  const front = await createFront(config, log, {
    keys,
    replay,
    store,
    caps: createConnectionCaps(connectionLimits(config)),
    logins: createRateLimiter(config.loginRate),
    tickets: createRateLimiter(config.ticketRate),
    hasher: createPasswordHasher({ concurrency: hashConcurrency, queueLimit: maxWaitingLogins }),
    revocations: revocationFile.revocations,
    handlers,
    relay: bus && keepingRevocations(bus, revocationFile),
    isBusUp: bus && (() => bus.isUp),
  })
  const operator = createOperator({
    config,
    file: revocationFile,
    async deliver(messages) {
      for (const message of messages) bus?.send(message)
      return messages.reduce((sum, message) => sum + front.deliver(message), 0)
    },
    clock,
  })
  const snapshot = async (): Promise<Snapshot> => front.snapshot()
  const admin = closers.add(createAdmin(config, log, { replay, bus, operator, snapshot }))

  const life = createGateLife(
    {
      async listen() {
        const port = await front.listen(config.port, 'exclusive')
        return { url: listenerUrl(config, port), adminUrl: await admin.listen() }
      },
      drain: front.drain,
      close() {
        front.close()
        closers.close()
      },
    },
    log,
  )
  return { ...serverApi(operator), ...life }
}

/** A relay that also writes down what was revoked elsewhere. */
function keepingRevocations(bus: Bus, file: RevocationFile): Relay {
  return {
    send: bus.send,
    onMessage(receive) {
      bus.onMessage(message => {
        // First: what receives it keeps it as well, and it would be news no more.
        if (message.type === 'revoke') file.learn(message)
        receive(message)
      })
    },
    close() {},
  }
}

async function openReplayCache(config: Config, log: Log): Promise<OpenReplay> {
  if (config.replay === 'memory') {
    const replay = createMemoryReplayCache(config.replayCapacity)
    return { replay, store: undefined, close: keepTurning(replay) }
  }
  return openSharedReplay(config, log, shareReplayMemory(config))
}
