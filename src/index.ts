import type { GateOptions } from './config/gate-options.js'
import { resolveConfig } from './config/resolve.js'
import type { Gate } from './gate/gate.js'
import { prepareStart } from './gate/prepare.js'
import { requireUWebSockets } from './http/uwebsockets.js'
import { checkHandler, type GateHandlers, handlerNames } from './socket/application.js'
import { createLog } from './telemetry/log.js'

export type { TicketSpec } from './admission/ticket-spec.js'
export type { GateOptions } from './config/gate-options.js'
export type { Config } from './config/schema.js'
export { Refusal, type RefusalCode, refusalCodes, StartupError, type StartupErrorCode } from './errors.js'
export type { Gate } from './gate/gate.js'
export type { TicketReply } from './protocol.js'
export type {
  ApplicationMessage,
  AuthorizationRequest,
  Connection,
  GateHandlers,
} from './socket/application.js'
export type { ServerApi } from './socket/control.js'
export type { DisconnectOptions, Subject } from './socket/disconnection.js'
export type { GateEvent } from './telemetry/event-iterator.js'
export type { CarriedClaims, ClaimValue } from './ticket/carried-claims.js'

/**
 * A gate inside an application. Options left out come from `TICKETGATE_*` variables, then from the
 * defaults. `Data` is what the application keeps with a connection: `authorize` gives it.
 *
 * @throws StartupError for a mistake of the operator, with a code of {@link StartupErrorCode}
 * @throws TypeError for a handler that is not a function, an `authorize` that is async, or handlers
 *   over several threads
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
  const given = Object.keys(handlers).length > 0 ? (handlers as GateHandlers<unknown>) : undefined
  requireUWebSockets(config.maxTokenBytes)
  const log = createLog(config.logLevel)
  // Loaded late, because it loads uWebSockets.js.
  const { buildGate } = await import('./gate/build.js')
  return buildGate(await prepareStart(config, log), log, given)
}
