// cli/: one command a file. Only this one loads the server.

import { parseArguments, wantsHelp } from '../config/arguments.js'
import { resolveConfig } from '../config/resolve.js'
import type { Config } from '../config/schema.js'
import { optionFlags } from '../config/sources.js'
import { watchedFiles } from '../config/watched-files.js'
import { recordAddress } from '../disk/served-address.js'
import type { Gate } from '../gate/gate.js'
import { prepareStart } from '../gate/prepare.js'
import { requireUWebSockets } from '../http/uwebsockets.js'
import { createLog, type Log } from '../telemetry/log.js'
import type { Command } from './command.js'
import { exampleUser } from './demo-user.js'
import { developmentBanner } from './development-banner.js'
import { urlByEnvironment } from './health-address.js'
import { help } from './help.js'
import { stopWithParent } from './parent.js'
import { type ServiceManager, serviceManager } from './service-manager.js'
import { onStopSignal } from './stop-signals.js'

/** `ticketgate serve`: runs the server until a signal ends it. */
export const serve: Command = async (args, context) => {
  const { env, stdout } = context
  // What is wrong with the flags is said along with what is wrong elsewhere.
  if (wantsHelp(parseArguments(args, optionFlags, [], () => ''))) return help(args, context)
  const given = resolveConfig({ env, flags: args })
  if (env.npm_lifecycle_event !== undefined) stopWithParent()
  requireUWebSockets(given.maxTokenBytes)
  const log = createLog(given.logLevel)
  const config = await prepareStart(given, log)
  // Loaded only now, since it loads uWebSockets.js.
  const { buildGate } = await import('../gate/build.js')
  const gate = await buildGate(config, log)
  const urls = await gate.listen()
  const manager = serviceManager(env, log)
  stopOnSignal(gate, log, manager)
  if (watchedFiles(config).length === 0) surviveHangups(log)
  const instead = urlByEnvironment(env)
  if (instead !== undefined) recordAddress(config.stateDir, { instead, url: urls.url })
  if (!config.production) stdout.write(await bannerFor(gate, urls, config))
  // A port that the system chose is nowhere else, whatever the level of the log.
  const announcer = log.isLevelEnabled('info') ? log : log.child({}, { level: 'info' })
  announcer.info({ url: urls.url, admin: urls.adminUrl, production: config.production }, 'listening')
  manager.ready()
  return undefined
}

/** The banner, and the user in it: made only once the ports are open, or its password would be lost with the start. */
async function bannerFor(
  gate: Gate,
  urls: Awaited<ReturnType<Gate['listen']>>,
  config: Config,
): Promise<string> {
  try {
    const user = config.login === 'on' ? await exampleUser(config.usersFile) : undefined
    return developmentBanner({ ...urls, config, user })
  } catch (error) {
    await gate.close()
    throw error
  }
}

/** SIGHUP asks a server to read its files again. It would end this one, which has none; of a terminal that is what is meant. */
function surviveHangups(log: Log): void {
  if (process.stdin.isTTY) return
  process.on('SIGHUP', () => log.info('SIGHUP: there is no file to read again'))
}

/** The first signal drains; a second one ends all at once, and a third does not even wait for the threads to end. */
function stopOnSignal(gate: Gate, log: Log, manager: ServiceManager): void {
  onStopSignal(signal => {
    manager.stopping()
    onStopSignal(() => {
      onStopSignal(() => process.exit(1))
      gate.close().finally(() => process.exit(1))
    })
    gate.drain().then(
      () => flushed(log).then(() => process.exit(0)),
      error => {
        log.fatal({ err: error, signal }, 'could not drain')
        flushed(log).then(() => process.exit(1))
      },
    )
  })
}

/** Writes the last lines, but does not wait for a reader that has gone. */
const flushed = (log: Log): Promise<void> =>
  new Promise(resolve => {
    setTimeout(resolve, 500)
    log.flush(() => resolve())
  })
