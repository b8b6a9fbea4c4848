// gate/: the parts of a gate, wired once. It decides nothing about requests.

import { BackEndIssuer } from '../admission/back-end-issuer.js'
import { Logouts } from '../admission/logouts.js'
import { RemovedUsers } from '../admission/removed-users.js'
import { socketBase, TicketIssuer } from '../admission/ticket-issuer.js'
import { clock } from '../clock.js'
import type { Config } from '../config/schema.js'
import { warningsOf } from '../config/warnings.js'
import { urlOf } from '../http/url.js'
import { describeDefaultRights } from '../providers/issuers.js'
import type { RedisBus } from '../redis/bus.js'
import { RenewalSeal } from '../redis/renewal-seal.js'
import type { GateHandlers } from '../socket/application.js'
import { Control, serverApi } from '../socket/control.js'
import { EventHub } from '../telemetry/event-hub.js'
import { iterateEvents } from '../telemetry/event-iterator.js'
import type { Log } from '../telemetry/log.js'
import { AdminListener } from './admin-listener.js'
import { watchClock } from './clock-watch.js'
import { type Closers, openInSteps } from './closers.js'
import type { Engine, Uplink } from './engine.js'
import type { Gate } from './gate.js'
import { Lifecycle, type LifecycleSteps } from './lifecycle.js'
import { SingleThread, type SingleThreadOptions } from './single-thread.js'
import { type GateState, openGateState } from './state.js'
import { ThreadPool } from './thread-pool.js'

/**
 * Builds a gate: in this thread, or over several.
 * @throws StartupError `users_file_invalid`, `clock_mark_invalid`, `revocations_invalid`,
 * `redis_evicts`, `console_missing`
 * @throws TypeError for handlers with several threads, which cannot share functions
 */
export async function buildGate(
  config: Config,
  log: Log,
  handlers?: GateHandlers<unknown> | undefined,
): Promise<Gate> {
  if (config.threads > 1 && handlers !== undefined) throw new TypeError('threads must be 1 with handlers')
  log.info(describeDefaultRights(config))
  for (const warning of warningsOf(config)) log.warn(warning)
  return openInSteps(closers => openGate(config, log, handlers, closers))
}

async function openGate(
  config: Config,
  log: Log,
  handlers: GateHandlers<unknown> | undefined,
  closers: Closers,
): Promise<Gate> {
  const state = await openGateState(config, log, closers)
  closers.add(watchClock(log))
  const removedUsers = await openUsers(config, log)
  const openBus = await loadBus(config, log)
  const uplink: Uplink = {
    send: message => bus?.send(message),
    isBusUp: config.redisUrl === undefined ? undefined : () => bus?.isUp === true,
    logOut: order => logouts.carryOut(order),
    renew: renewed => control.renew(renewed),
  }
  const events = new EventHub({
    capacity: config.eventBuffer,
    node: config.node ?? '',
    clock,
    onWatched: isWatched => engine.watch(isWatched),
  })
  const engine = await openEngine({ config, log, state, uplink, events, handlers })
  const control = new Control({
    config,
    file: state.revocationFile,
    engine,
    send: message => bus?.send(message),
    forward: async renewal => (await bus?.forward(renewal)) ?? false,
    seal: closers.add(new RenewalSeal(config, log)),
    events: events.sink,
    clock,
    log,
  })
  const logouts = new Logouts((subject, givenUntil) => control.logOut(subject, givenUntil))
  const bus = closers.add(openBus?.(state, messages => control.receive(messages)))
  closers.add(removedUsers?.watch(user => control.disconnect({ user })))
  let ownUrl = ''
  const tickets = new BackEndIssuer({
    config,
    issuer: new TicketIssuer({ config, keys: state.keys, store: state.replay.store }),
    revocations: state.revocationFile.revocations,
    isDraining: () => life.isEnding,
    baseUrl: () => socketBase(config.publicUrl ?? (config.production ? '' : ownUrl)),
    clock,
  })
  const admin = closers.add(openAdmin({ config, log, state, bus, control, tickets, engine, events }))
  const life = new Lifecycle(
    {
      async listen() {
        await bus?.caughtUp()
        const port = await engine.listen()
        ownUrl = urlOf(config.tlsCertFile === undefined ? 'http' : 'https', config.host, port)
        return { url: ownUrl, adminUrl: await admin.listen() }
      },
      ...endingSteps({ config, engine, events, closers }),
    },
    log,
  )
  return {
    ...serverApi(control, tickets),
    events: iterateEvents(events),
    listen: () => life.listen(),
    drain: () => life.drain(),
    close: () => life.close(),
  }
}

interface AdminParts {
  readonly config: Config
  readonly log: Log
  readonly state: GateState
  readonly bus: RedisBus | undefined
  readonly control: Control
  readonly tickets: BackEndIssuer
  readonly engine: Engine
  readonly events: EventHub
}

const openAdmin = ({ config, log, state, engine, ...parts }: AdminParts): AdminListener =>
  new AdminListener(config, log, {
    ...parts,
    engine,
    replay: state.replay.replay,
    store: state.replay.store,
    tls: config.tlsCertFile !== undefined,
    hasTunnels: config.tunnels.length > 0,
    maxConnections: () => engine.maxConnections,
    snapshot: () => engine.snapshot(),
    limiters: () => engine.limiters(),
  })

interface EndingParts {
  readonly config: Config
  readonly engine: Engine
  readonly events: EventHub
  readonly closers: Closers
}

const endingSteps = ({
  config,
  engine,
  events,
  closers,
}: EndingParts): Pick<LifecycleSteps, 'drain' | 'close'> => ({
  drain() {
    if (events.sink.isOn) events.sink.tell('draining', { withinSeconds: config.drainSeconds })
    return engine.drain()
  },
  async close() {
    await engine.close()
    events.close()
    closers.close()
  },
})

const openEngine = async (options: SingleThreadOptions): Promise<Engine> =>
  options.config.threads > 1 ? new ThreadPool(options) : SingleThread.open(options)

/** The users whose removal ends their sessions, if there is a user file. */
const openUsers = async (config: Config, log: Log): Promise<RemovedUsers | undefined> =>
  config.login === 'off' ? undefined : RemovedUsers.open({ path: config.usersFile, log })

/**
 * Returns what opens the bus to the other nodes, if there are any. The Redis client is loaded only
 * then, and before anything runs that would use the bus.
 */
async function loadBus(config: Config, log: Log) {
  if (config.redisUrl === undefined) return undefined
  const { RedisBus } = await import('../redis/bus.js')
  return ({ revocationFile: { revocations } }: GateState, receive: Control['receive']): RedisBus =>
    new RedisBus({ config, revocations, receive, log })
}
