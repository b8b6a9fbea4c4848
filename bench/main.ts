import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { handshakeScenario } from './handshake.js'
import { cpuMicrosOf, describeRun, type Measurement, summarise, table } from './report.js'
import type { Scenario } from './scenario.js'
import { startFloor, startTicketgate, type Target, type TargetName, targetNames } from './servers.js'
import { ticketScenario } from './ticket.js'

const allScenarios: readonly Scenario[] = [ticketScenario, handshakeScenario]

const help = `npm run bench -- [options]

  --scenario NAME   ${allScenarios.map(one => one.name).join(' or ')}; may be repeated (default: all)
  --target NAME     ${targetNames.join(' or ')}; may be repeated (default: all)
  --rounds N        measured rounds, after one to warm up (default: 5)
  --json FILE       writes every run and the summary there as well
  --help            this text

Build first (npm run build): ticketgate runs from dist/. What the figures mean: bench/README.md.`

interface Options {
  readonly scenarios: readonly Scenario[]
  readonly targets: readonly TargetName[]
  readonly rounds: number
  readonly json: string | undefined
}

/** Throws on an unknown option or value, naming it. */
const readOptions = (args: string[]): Options | 'help' => {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string', multiple: true },
      target: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '5' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const chosen = <T>(
    option: string,
    names: string[] | undefined,
    all: readonly T[],
    nameOf: (one: T) => string,
  ) => {
    const unknown = names?.find(name => !all.some(one => nameOf(one) === name))
    if (unknown !== undefined)
      throw new Error(`--${option} ${unknown} is unknown: choose from ${all.map(nameOf).join(', ')}`)
    return names ? all.filter(one => names.includes(nameOf(one))) : all
  }
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100)
    throw new Error('--rounds takes a number from 1 to 100')
  return {
    scenarios: chosen('scenario', values.scenario, allScenarios, one => one.name),
    targets: chosen('target', values.target, targetNames, one => one),
    rounds,
    json: values.json,
  }
}

const say = (text: string): void => void process.stderr.write(`${text}\n`)

const startTargets = async (names: readonly TargetName[], directory: string): Promise<Target[]> => {
  const ticketgate = names.includes('ticketgate') ? await startTicketgate(directory) : undefined
  const floor = names.includes('floor') ? await startFloor(directory, ticketgate?.replies) : undefined
  return [floor, ticketgate].filter(target => target !== undefined)
}

/** Awaits work against a target; a failure says what was being done, and the server's last words if it has ended. */
const blaming = async <T>(target: Target, what: string, work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    const words = await target.child.lastWords()
    const ended = words === undefined ? '' : `\nThe server has ended. Its last lines:\n${words}`
    throw new Error(`${what} on ${target.name}: ${(error as Error).message}${ended}`, { cause: error })
  }
}

/** One round of one scenario, row by row, the targets of a row right after one another. */
const playRound = async (
  scenario: Scenario,
  targets: readonly Target[],
  round: number,
): Promise<Measurement[]> => {
  const measured: Measurement[] = []
  const prepared = new Map<Target, Awaited<ReturnType<Scenario['prepare']>>>()
  for (const target of targets)
    prepared.set(target, await blaming(target, `preparing ${scenario.name}`, scenario.prepare(target)))
  for (const { name: row } of scenario.rows) {
    const figures: string[] = []
    for (const target of targets) {
      const step = prepared.get(target)?.get(row)
      if (step === undefined) continue
      const sample = await blaming(target, row, step())
      measured.push({ round, row, target: target.name, ...sample })
      figures.push(`${target.name} ${cpuMicrosOf(sample).toPrecision(3)} µs`)
    }
    if (figures.length === 0) continue
    say(`${round === 0 ? 'warm-up' : `round ${round}`}  ${row}: ${figures.join(', ')}`)
  }
  return measured
}

const bench = async (
  { scenarios, targets: names, rounds, json }: Options,
  command: string,
): Promise<void> => {
  const directory = mkdtempSync(join(tmpdir(), 'ticketgate-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const run = describeRun(command, new Date(), rounds)
  const targets = await startTargets(names, directory)
  const measured: Measurement[] = []
  try {
    for (let round = 0; round <= rounds; round++) {
      // Every other round the other way round, so that a drift of the machine favours nobody.
      const order = round % 2 === 0 ? targets : targets.toReversed()
      for (const scenario of scenarios) {
        const played = await playRound(scenario, order, round)
        if (round > 0) measured.push(...played)
      }
    }
  } finally {
    await Promise.all(targets.map(target => target.child.stop()))
  }

  const rows = scenarios.flatMap(scenario => scenario.rows)
  const summary = summarise(rows, measured)
  console.log(`\n${table(summary)}\n`)
  for (const [name, value] of Object.entries(run)) console.log(`${name}: ${value}`)
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ run, summary, measured }, null, 2)}\n`)
}

const main = async (args: string[]): Promise<void> => {
  const options = readOptions(args)
  if (options === 'help') return console.log(help)
  await bench(options, ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '))
}

// Leaving by process.exit lets the `exit` handlers end the servers and delete the temporary directory.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
main(process.argv.slice(2)).catch((error: Error) => {
  say(`bench: ${error.message}`)
  process.exit(1)
})
