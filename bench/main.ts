import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildOpener } from './drivers/opener.js'
import { caseTable } from './figures/case.js'
import { type Curve, type Results, summarise } from './figures/summary.js'
import { say } from './figures/text.js'
import { help, nodes, type Options, readOptions, scaling, tunnel } from './options.js'
import { compare, ratiosOf, readRatios, writeRatios } from './reports/check.js'
import { describeRun } from './reports/environment.js'
import { preparePublishing, publish, publishCase, publishConnections } from './reports/publish.js'
import { coreTable, curveTable, table, tunnelTable } from './reports/tables.js'
import { holdConnections } from './scenarios/connections.js'
import { scenarios, withoutOpener } from './scenarios/index.js'
import { measureNodes } from './scenarios/nodes.js'
import { playAll } from './scenarios/play.js'
import { profile } from './scenarios/profile.js'
import { type Contender, measureScaling } from './scenarios/scaling.js'
import { measureTunnels } from './scenarios/tunnel.js'
import { fleetsOf } from './targets/fleets.js'
import { startTargets } from './targets/index.js'
import type { Target } from './targets/target.js'
import { startTicketgate } from './targets/ticketgate.js'
import { createUsers, type Users } from './targets/users.js'

const print = (results: Results): void => {
  if (results.summary.length > 0) console.log(`\n${table(results)}`)
  for (const curve of results.curves) console.log(`\n${curveTable(curve)}`)
  if (results.tunnels.length > 0) console.log(`\n${tunnelTable(results.tunnels)}`)
  if (results.core) console.log(`\n${coreTable(results.core)}`)
  console.log()
  for (const { name, reason } of results.missing) console.log(`not measured: ${name}, ${reason}`)
  for (const [name, value] of Object.entries(results.run)) console.log(`${name}: ${value}`)
}

const bench = async (options: Options, command: string, directory: string): Promise<void> => {
  const { targets: names, rounds, scale } = options
  const run = describeRun(command, new Date(), rounds)
  if (options.publish) preparePublishing()
  const compilerIsMissing = buildOpener(directory)
  const playable = compilerIsMissing === undefined ? scenarios : withoutOpener
  const played = options.scenarios.filter(one => playable.includes(one))
  const users = await createUsers()
  const { targets, missing } =
    played.length > 0 ? await startTargets(names, directory, users) : { targets: [], missing: [] }
  const skipped = [
    ...options.scenarios.filter(one => !playable.includes(one)).map(one => one.name),
    ...(options.scaling ? [scaling] : []),
    ...(options.nodes ? [nodes] : []),
    ...(options.tunnel ? [tunnel] : []),
  ]
  if (compilerIsMissing !== undefined)
    for (const name of skipped) missing.push({ name, reason: compilerIsMissing })
  for (const { name, reason } of missing) say(`${name} is left out: ${reason}`)

  let sides: Awaited<ReturnType<typeof playAll>>
  const floor = targets.find(one => one.name === 'floor')
  try {
    sides = await playAll(played, targets, rounds, scale)
  } finally {
    await Promise.all(targets.map(target => target.stop()))
  }
  const curves: Curve[] = []
  if (options.scaling && compilerIsMissing === undefined)
    curves.push(...(await measureScaling(contenders(options, floor, directory, users), scale)))
  if (options.nodes && compilerIsMissing === undefined)
    curves.push(await measureNodes(fleetsOf(directory, users), rounds, scale))

  const tunnels =
    options.tunnel && compilerIsMissing === undefined
      ? await measureTunnels({ directory, users }, rounds, scale)
      : []

  // Loaded on demand, because it allocates the memory that it measures.
  const parts = options.core ? await import('./scenarios/core.js') : undefined
  const coreReport = parts?.benchCore(rounds, text => say(`core  ${text}`))

  const rows = played.flatMap(scenario => scenario.rows)
  const results: Results = {
    run,
    summary: summarise(rows, names, sides.measured),
    gaps: sides.gaps,
    missing,
    curves,
    tunnels,
    ...(coreReport ? { core: coreReport } : {}),
    measured: sides.measured,
  }
  await report(options, results)
}

/** The servers of the curves that show how costs grow. */
const contenders = (
  { targets }: Options,
  floor: Target | undefined,
  directory: string,
  users: Users,
): Contender[] => {
  const gate = (threads: number) => () =>
    startTicketgate(directory, users, { settings: { TICKETGATE_THREADS: String(threads) } })
  return [
    ...(floor ? [{ label: 'floor', start: () => floor.another() }] : []),
    ...(targets.includes('ticketgate')
      ? [
          { label: 'ticketgate', start: gate(1) },
          { label: 'ticketgate, 2 threads', start: gate(2) },
        ]
      : []),
  ]
}

/**
 * Prints the results, writes them where the options say, and compares them.
 * @throws Error naming what is slower than it should be
 */
const report = async (options: Options, results: Results): Promise<void> => {
  print(results)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`)
  if (options.publish) console.log(`written to ${await publish(results)}`)
  if (options.check !== undefined) checkRatios(options, results)
  const over = results.core?.figures.filter(one => one.target !== undefined && one.times > one.target) ?? []
  if (over.length > 0) throw new Error(`over their targets: ${over.map(({ name }) => name).join('; ')}`)
}

/** Plays the cases one after another, prints each, and publishes it if that is wanted. */
const playCases = async (
  options: Options,
  command: string,
  directory: string,
  users: Users,
): Promise<void> => {
  const { rounds, scale } = options
  const count = (operations: number): number => Math.round(operations * scale)
  for (const { name, measure } of options.cases) {
    const { date, machine, system, node } = describeRun(command, new Date(), rounds)
    const load = loadavg().map(one => one.toFixed(1))
    const run = {
      command,
      date,
      machine,
      system,
      node,
      rounds,
      'load before': load.join(' '),
    } as Results['run']
    const report = { ...(await measure({ directory, users, rounds, count })), run }
    console.log(`\n${caseTable(name, report)}`)
    if (options.publish) publishCase(name, report)
  }
}

/** @throws Error naming the rows that have become slower */
const checkRatios = ({ check, ratios: file, scenarios }: Options, { summary }: Results): void => {
  const measured = ratiosOf(summary)
  const accepted = existsSync(file) ? readRatios(file) : {}
  const others = Object.entries(accepted).filter(
    ([row]) => !scenarios.some(({ rows }) => rows.some(({ name }) => name === row)),
  )
  if (check === 'accept') return writeRatios(file, { ...Object.fromEntries(others), ...measured })
  const here = Object.entries(accepted).filter(([row]) => !others.some(([other]) => other === row))
  const { text, regressions } = compare(Object.fromEntries(here), measured)
  console.log(`\n${text}`)
  if (regressions.length > 0) throw new Error(`slower than before: ${regressions.join('; ')}`)
}

const main = async (args: string[]): Promise<void> => {
  const options = readOptions(args)
  if (options === 'help') return console.log(help)
  const directory = mkdtempSync(join(tmpdir(), 'ticketgate-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ')
  const isBench =
    options.profile === undefined && options.connections === undefined && options.cases.length === 0
  if (isBench) return bench(options, command, directory)
  const missing = buildOpener(directory)
  if (missing !== undefined) throw new Error(`this needs the C driver: ${missing}`)
  const users = await createUsers()
  await playCases(options, command, directory, users)
  if (options.profile !== undefined)
    console.log(await profile(options.profile, options.scale, directory, users))
  if (options.connections === undefined) return
  const run = describeRun(command, new Date(), 1)
  const reached = await holdConnections(options.connections, directory, users)
  console.log(reached)
  if (options.publish) publishConnections(reached, run)
}

// process.exit runs the `exit` handlers, which end the servers and delete the temporary directory.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: Error) => {
    process.stderr.write(`bench: ${error.message}\n`)
    process.exit(1)
  },
)
