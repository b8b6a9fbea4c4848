import { parseArguments, wantsHelp } from '../config/arguments.js'
import { resolveConfig } from '../config/resolve.js'
import type { Config } from '../config/schema.js'
import { optionFlags } from '../config/sources.js'
import { warningsOf } from '../config/warnings.js'
import { StartupError } from '../errors.js'
import { requireUWebSockets } from '../http/uwebsockets.js'
import { isJsonObject } from '../protocol.js'
import { createWarningLog } from '../telemetry/log.js'
import type { Command } from './command.js'

const portsFlag = '--no-ports'

const usage = `Usage: ticketgate check [${portsFlag}] [options of serve]

Checks, without starting, whether the server would start with this configuration: options, files,
certificate, keys of identity providers, ports and Redis. Prints one line for each.

Exit code 0: it would start, even with warnings; 1: something would prevent the start or keep the
server from working.

  ${portsFlag}   skip the ports, for a check while the server is using them
`

type Outcome = 'ok' | 'warning' | 'failed'

/** Writes the findings, one per line, and remembers whether any check failed. */
class Report {
  hasFailed = false
  readonly #out: NodeJS.WritableStream

  constructor(out: NodeJS.WritableStream) {
    this.#out = out
  }

  tell(outcome: Outcome, subject: string, text: string): void {
    if (outcome === 'failed') this.hasFailed = true
    for (const line of text.split('\n')) this.#out.write(`${outcome.padEnd(7)}  ${subject}: ${line}\n`)
  }

  /** Reports what `look` finds. If it throws, the check has failed. */
  async of<T>(subject: string, look: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await look()
    } catch (error) {
      if (!(error instanceof StartupError)) throw error
      this.tell('failed', subject, error.message)
      return undefined
    }
  }
}

/**
 * `ticketgate check`: reports whether the server would start with this configuration, without
 * starting it.
 */
export const check: Command = async (args, { env, stdout }) => {
  if (wantsHelp(parseArguments(args, { ...optionFlags, 'no-ports': 'switch' }, [], () => ''))) {
    stdout.write(usage)
    return 0
  }
  const report = new Report(stdout)
  const flags = args.filter(each => each !== portsFlag)
  const config = await report.of('options', () => resolveConfig({ env, flags }))
  if (config !== undefined) {
    for (const warning of warningsOf(config)) report.tell('warning', 'options', warning)
    report.tell('ok', 'options', config.production ? 'for production' : 'for development')
    await lookAll(config, report, flags.length === args.length)
  }
  return report.hasFailed ? 1 : 0
}

async function lookAll(config: Config, report: Report, looksAtPorts: boolean): Promise<void> {
  const node = `Node ${process.versions.node}`
  const engine = await report.of('engine', () => {
    requireUWebSockets(config.maxTokenBytes)
    return `uWebSockets.js loads in ${node}`
  })
  if (engine === undefined) return
  report.tell('ok', 'engine', engine)
  // Loaded late, because it loads uWebSockets.js.
  const { startChecks } = await import('../gate/start-checks.js')
  for (const { subject, look } of startChecks) {
    if (!looksAtPorts && subject.endsWith(' port')) continue
    const log = createWarningLog(line => report.tell('warning', subject, warningOf(line)))
    const found = await report.of(subject, () => look(config, log))
    if (found !== undefined) report.tell('ok', subject, found)
  }
}

/** Formats a log line for people. */
function warningOf(line: string): string {
  const entry: unknown = JSON.parse(line)
  if (!isJsonObject(entry)) return line
  const { level: _, msg, err, ...fields } = entry
  const reason = isJsonObject(err) ? { error: err.message } : {}
  const details = Object.entries({ ...reason, ...fields }).map(([name, value]) => `${name}: ${String(value)}`)
  return [String(msg), ...details].join('; ').replaceAll('\n', ' ')
}
