import { resolveConfig } from './config/resolve.js'
import type { GateOptions } from './config/schema.js'
import type { Gate } from './gate/gate.js'
import { admitTokensInHeaders } from './http/header-limit.js'
import { checkHandler, type GateHandlers, handlerNames } from './socket/application.js'
import { createLog } from './telemetry/log.js'

export type { Config, GateOptions } from './config/schema.js'
export { Refusal, type RefusalCode, refusalCodes, StartupError } from './errors.js'
export type { Gate } from './gate/gate.js'
export type {
  ApplicationMessage,
  AuthorizationRequest,
  Connection,
  GateHandlers,
} from './socket/application.js'
export type { ServerApi, Subject } from './socket/control.js'

/**
 * A gate inside an application. Options left out come from `TICKETGATE_*` variables, then from the defaults.
 * `Data` is what the application keeps with a connection: `authorize` gives it.
 *
 * @throws StartupError `config_invalid`, `users_file_invalid`, `clock_mark_invalid`, `revocations_invalid`, `redis_evicts`,
 *   `console_missing`
 * @throws TypeError for a handler that is not a function, an `authorize` that is async, or handlers over several threads
 */
export async function createGate<Data = undefined>(
  options: GateOptions & GateHandlers<Data> = {},
): Promise<Gate> {
  const settings: Record<string, unknown> = { ...options }
  const handlers: Record<string, unknown> = {}
  for (const name of handlerNames) {
    const handler = settings[name]
    delete settings[name]
    if (handler === undefined) continue
    checkHandler(name, handler)
    handlers[name] = handler.bind(options)
  }
  const config = resolveConfig({
    env: process.env,
    options: settings as GateOptions,
    handlerNames,
  })
  admitTokensInHeaders(config.maxTokenBytes)
  const { buildGate } = await import('./gate/build.js')
  const given = Object.keys(handlers).length > 0 ? (handlers as GateHandlers<unknown>) : undefined
  return buildGate(config, createLog(config.logLevel), given)
}
