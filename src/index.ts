import { type GateOptions, resolveConfig } from './config.js'
import { buildGate, type Gate } from './gate.js'
import { createLog } from './ops/log.js'

export type { Config, GateOptions } from './config.js'
export { Refusal, type RefusalCode, refusalCodes, StartupError } from './errors.js'
export type { Gate } from './gate.js'

/**
 * A gate inside an application. Options left out come from `TICKETGATE_*` variables, then from the defaults.
 * @throws StartupError `config_invalid`, `users_file_invalid`
 */
export async function createGate(options: GateOptions = {}): Promise<Gate> {
  const config = resolveConfig({ env: process.env, options })
  return buildGate(config, createLog(config.logLevel))
}
