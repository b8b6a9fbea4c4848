import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { clock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { unixPathOf } from '../config/unix-path.js'
import { RevocationFile } from '../disk/revocation-file.js'
import { keepSeconds } from '../disk/revocation-life.js'
import { checkStateDirectory } from '../disk/state-dir.js'
import { StartupError } from '../errors.js'
import { portFault, portUnavailable } from '../http/listener.js'
import { unixSocketFault } from '../http/unix-listener.js'
import { Issuers } from '../providers/issuers.js'
import { RedisBus } from '../redis/bus.js'
import { openRedisReplay } from '../redis/open-replay.js'
import type { Log } from '../telemetry/log.js'
import { createCounters } from '../telemetry/metrics.js'
import { createRevocations } from '../token/revocation.js'
import { readUsersFile } from '../users/file.js'
import { warnOfLooseModes } from './prepare.js'

/** A check of something that a start depends on, without starting. */
export interface StartCheck {
  readonly subject: string
  /**
   * Returns the finding, or undefined if there is nothing to check. Problems that do not prevent a
   * start go to the log.
   * @throws StartupError for a problem that would prevent the start, or leave the gate useless
   */
  readonly look: (config: Config, log: Log) => Promise<string | undefined>
}

const soonDays = 14
const busWaitMs = 1500
const dayMs = 86_400_000

/** Everything that a start depends on besides its options, in the order of use. */
export const startChecks: readonly StartCheck[] = [
  { subject: 'secrets', look: lookAtSecrets },
  { subject: 'state directory', look: lookAtStateDirectory },
  { subject: 'users', look: lookAtUsers },
  { subject: 'certificate', look: lookAtCertificate },
  { subject: 'issuers', look: lookAtIssuers },
  { subject: 'public port', look: ({ host, port }) => lookAtPort(host, port, 'TICKETGATE_PORT') },
  {
    subject: 'admin port',
    look: ({ adminHost, adminPort }) => lookAtPort(adminHost, adminPort, 'TICKETGATE_ADMIN_PORT'),
  },
  { subject: 'replay cache', look: lookAtReplayCache },
  { subject: 'bus', look: lookAtBus },
]

async function lookAtSecrets(config: Config, log: Log): Promise<undefined> {
  warnOfLooseModes(config, log)
}

async function lookAtStateDirectory(config: Config, log: Log): Promise<string> {
  await checkStateDirectory(config.stateDir, log)
  const nowSeconds = (): number => toSeconds(clock())
  const { revocations } = await RevocationFile.open(config.stateDir, {
    nowSeconds,
    keepSeconds: keepSeconds(config),
    log,
  })
  return `${resolve(config.stateDir)}, revocations: ${revocations.list(nowSeconds()).length}`
}

async function lookAtUsers(config: Config, log: Log): Promise<string | undefined> {
  if (config.login === 'off') return undefined
  const { size } = await readUsersFile(config.usersFile)
  if (size === 0 && config.production)
    log.warn('there are no users, so nobody can log in: add one with ticketgate user add NAME')
  return `${resolve(config.usersFile)}, users: ${size}`
}

async function lookAtCertificate({ tlsCertFile }: Config, log: Log): Promise<string | undefined> {
  if (tlsCertFile === undefined) return undefined
  const { validFrom, validTo } = new X509Certificate(readFileSync(tlsCertFile))
  const text = `${tlsCertFile}, from ${validFrom} to ${validTo}`
  const leftMs = Date.parse(validTo) - Date.now()
  if (leftMs <= 0 || Date.parse(validFrom) > Date.now())
    throw new StartupError('tls_invalid', `the certificate is not valid now: ${text}`)
  if (leftMs < soonDays * dayMs)
    log.warn(`the certificate expires in ${Math.floor(leftMs / dayMs)} days: ${text}`)
  return text
}

/**
 * Fetches the keys of identity providers. A gate starts without them, but is not ready until it has
 * them.
 */
async function lookAtIssuers(config: Config, log: Log): Promise<string | undefined> {
  if (config.issuers.length === 0) return undefined
  const issuers = await Issuers.open(config, { log, counters: createCounters() })
  const without = issuers.withoutKeys()
  issuers.close()
  if (without.length > 0)
    throw new StartupError('config_invalid', `keys cannot be fetched: ${without.join(', ')}`)
  return `fetched the keys of ${config.issuers.length} issuers`
}

async function lookAtPort(host: string, port: number, variable: string): Promise<string> {
  const path = unixPathOf(host)
  if (path !== undefined) return lookAtSocket(path)
  if (port === 0) return `${host}, any free port`
  const code = await portFault(host, port)
  if (code !== undefined) throw portUnavailable({ host, port, variable }, code)
  return `${host} port ${port} is free`
}

async function lookAtSocket(path: string): Promise<string> {
  const fault = await unixSocketFault(path)
  if (fault !== undefined) throw new StartupError('port_unavailable', `cannot listen on ${path}: ${fault}`)
  return `${path} is free`
}

async function lookAtReplayCache(config: Config, log: Log): Promise<string> {
  if (config.replay !== 'redis') return `${config.replay}, ${config.replayCapacity} tickets`
  const { store, close } = await openRedisReplay(config, log)
  const state = store?.state
  close()
  if (state === undefined || state.is !== 'ready')
    throw new StartupError('config_invalid', `no ticket would be accepted: Redis is ${state?.is}`)
  return 'Redis is ready'
}

async function lookAtBus(config: Config, log: Log): Promise<string | undefined> {
  if (config.redisUrl === undefined) return undefined
  const bus = new RedisBus({ config, revocations: createRevocations(), receive() {}, log })
  await bus.caughtUp()
  // Proven by a message to this node itself.
  for (const end = performance.now() + busWaitMs; !bus.isUp && performance.now() < end; ) await delay(20)
  const { isUp } = bus
  bus.close()
  if (!isUp) throw new StartupError('config_invalid', 'messages would not reach the other nodes')
  return 'messages reach the other nodes'
}
