import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { holdConnections } from './connections.js'
import { buildOpener } from './driver/opener.js'
import { measureNodes } from './nodes.js'
import { profile, profileNames } from './profile.js'
import { preparePublishing, publish, publishConnections } from './publish.js'
import { curveTable, describeRun, type Results, summarise, table } from './report.js'
import { playAll, say } from './run.js'
import { measureScaling } from './scaling.js'
import type { Scenario } from './scenario.js'
import { scenarios, withoutOpener } from './scenarios/index.js'
import { type TargetName, targetNames } from './target.js'
import { fleetsOf, startTargets } from './targets.js'
import { createUsers, startTicketgate } from './ticketgate.js'

const scaling = 'scaling'
const nodes = 'nodes'
const core = 'core'
const scenarioNames = [...scenarios.map(one => one.name), scaling, nodes, core]

const help = `npm run bench -- [options]

  --scenario NAME   ${scenarioNames.join(', ')};
                    may be repeated (default: all)
  --target NAME     ${targetNames.join(', ')};
                    may be repeated (default: all)
  --rounds N        measured rounds, after one to warm up (default: 3)
  --scale FACTOR    of the number of operations, for a quick look (default: 1)
  --json FILE       writes every run and the summary there as well
  --publish         writes JSON, tables and charts into bench/results; with --connections, what was reached

  --profile NAME    ${profileNames.join(', ')}: where ticketgate spends its time
  --connections N   opens and holds N ticketed sockets, proves that all live, and that no ticket works twice

  --help            this text

What the figures mean: bench/README.md.`

interface Options {
  readonly scenarios: readonly Scenario[]
  readonly scaling: boolean
  readonly nodes: boolean
  readonly core: boolean
  readonly targets: readonly TargetName[]
  readonly rounds: number
  readonly scale: number
  readonly json: string | undefined
  readonly publish: boolean
  readonly profile: string | undefined
  readonly connections: number | undefined
}

const numberIn = (option: string, text: string, least: number, most: number): number => {
  const value = Number(text)
  if (text.trim() === '' || !(value >= least && value <= most))
    throw new Error(`--${option} takes a number from ${least} to ${most}`)
  return value
}

const wholeIn = (option: string, text: string, least: number, most: number): number => {
  const value = numberIn(option, text, least, most)
  if (!Number.isInteger(value)) throw new Error(`--${option} takes a whole number`)
  return value
}

const chosen = <T extends string>(option: string, names: string[] | undefined, all: readonly T[]) => {
  const unknown = names?.find(name => !(all as readonly string[]).includes(name))
  if (unknown !== undefined)
    throw new Error(`--${option} ${unknown} is unknown: choose from ${all.join(', ')}`)
  return names ? all.filter(one => names.includes(one)) : all
}

/** Parses the options. Throws on an unknown option or value, naming it. */
const readOptions = (args: string[]): Options | 'help' => {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string', multiple: true },
      target: { type: 'string', multiple: true },
      rounds: { type: 'string', default: '3' },
      scale: { type: 'string', default: '1' },
      json: { type: 'string' },
      publish: { type: 'boolean', default: false },
      profile: { type: 'string' },
      connections: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const names = chosen('scenario', values.scenario, scenarioNames)
  return {
    scenarios: scenarios.filter(one => names.includes(one.name)),
    scaling: names.includes(scaling),
    nodes: names.includes(nodes),
    core: names.includes(core),
    targets: chosen('target', values.target, targetNames),
    rounds: wholeIn('rounds', values.rounds, 1, 100),
    scale: numberIn('scale', values.scale, 0.001, 100),
    json: values.json,
    publish: values.publish,
    profile: values.profile,
    connections:
      values.connections === undefined
        ? undefined
        : wholeIn('connections', values.connections, 1, 10_000_000),
  }
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
  const gate = (threads: number) => () =>
    startTicketgate(directory, users, { settings: { TICKETGATE_THREADS: String(threads) } })
  const curves =
    options.scaling && compilerIsMissing === undefined
      ? await measureScaling(
          [
            ...(floor ? [{ label: 'floor', start: () => floor.another() }] : []),
            ...(names.includes('ticketgate')
              ? [
                  { label: 'ticketgate', start: gate(1) },
                  { label: 'ticketgate, 2 threads', start: gate(2) },
                ]
              : []),
          ],
          scale,
        )
      : []
  if (options.nodes && compilerIsMissing === undefined)
    curves.push(await measureNodes(fleetsOf(directory, users), rounds, scale))

  // Loaded on demand: it allocates what it measures.
  const parts = options.core ? await import('./core.js') : undefined
  const coreReport = parts?.benchCore(rounds, text => say(`core  ${text}`))

  const rows = played.flatMap(scenario => scenario.rows)
  const results: Results = {
    run,
    summary: summarise(rows, names, sides.measured),
    gaps: sides.gaps,
    missing,
    curves,
    ...(coreReport ? { core: coreReport } : {}),
    measured: sides.measured,
  }
  if (rows.length > 0) console.log(`\n${table(results)}`)
  for (const curve of curves) console.log(`\n${curveTable(curve)}`)
  if (parts && coreReport) console.log(`\n${parts.coreTable(coreReport)}`)
  console.log()
  for (const { name, reason } of missing) console.log(`not measured: ${name}, ${reason}`)
  for (const [name, value] of Object.entries(run)) console.log(`${name}: ${value}`)
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`)
  if (options.publish) console.log(`written to ${await publish(results)}`)
}

const main = async (args: string[]): Promise<void> => {
  const options = readOptions(args)
  if (options === 'help') return console.log(help)
  const directory = mkdtempSync(join(tmpdir(), 'ticketgate-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ')
  if (options.profile === undefined && options.connections === undefined)
    return bench(options, command, directory)
  const missing = buildOpener(directory)
  if (missing !== undefined) throw new Error(`this needs the C driver: ${missing}`)
  const users = await createUsers()
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
