// cli/: one command per file. Only this one loads the server.

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
  // Mistakes in flags are reported later, together with all others.
  if (wantsHelp(parseArguments(args, optionFlags, [], () => ''))) return help(args, context)
  const given = resolveConfig({ env, flags: args })
  if (env.npm_lifecycle_event !== undefined) stopWithParent()
  // Files that change during the start are read again after it.
  if (!process.stdin.isTTY) process.on('SIGHUP', () => {})
  requireUWebSockets(given.maxTokenBytes)
  const log = createLog(given.logLevel)
  const config = await prepareStart(given, log)
  // Loaded late, because it loads uWebSockets.js.
  const { buildGate } = await import('../gate/build.js')
  const gate = await buildGate(config, log)
  const urls = await gate.listen()
  const manager = serviceManager(env, log)
  stopOnSignal(gate, log, manager)
  if (watchedFiles(config).length === 0) surviveHangups(log)
  if (!config.production) stopWithTerminal()
  const instead = urlByEnvironment(env)
  if (instead !== undefined) recordAddress(config.stateDir, { instead, url: urls.url })
  if (!config.production) stdout.write(await bannerFor(gate, urls, config))
  // A port chosen by the system appears nowhere else, so it is logged at any level.
  const announcer = log.isLevelEnabled('info') ? log : log.child({}, { level: 'info' })
  announcer.info({ url: urls.url, admin: urls.adminUrl, production: config.production }, 'listening')
  manager.ready()
  return undefined
}

/**
 * Creates the banner, and the user in it, only once the ports are open. If the start failed after
 * that, the password would be lost.
 */
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

/**
 * SIGHUP asks a server to reread its files. Without a handler it would end the process, which is
 * right only on a terminal.
 */
function surviveHangups(log: Log): void {
  if (process.stdin.isTTY) return
  process.on('SIGHUP', () => log.info('SIGHUP: there are no files to reread'))
}

/**
 * Stops a server in development if its terminal is closed. Otherwise it would only reread its files,
 * and keep the port.
 */
function stopWithTerminal(): void {
  if (process.stdin.isTTY) process.on('SIGHUP', () => process.kill(process.pid, 'SIGTERM'))
}

/**
 * The first signal drains, the second one ends everything at once, and the third does not even wait
 * for the threads.
 */
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

/** Writes the last lines, without waiting for a reader that is gone. */
const flushed = (log: Log): Promise<void> =>
  new Promise(resolve => {
    setTimeout(resolve, 500)
    log.flush(() => resolve())
  })
