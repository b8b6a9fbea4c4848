import { parseArgs } from 'node:util'
import { acceptedFile } from './reports/check.js'
import type { Case } from './scenarios/cases/case.js'
import { cases } from './scenarios/cases/index.js'
import { scenarios } from './scenarios/index.js'
import { profileNames } from './scenarios/profile.js'
import type { Scenario } from './scenarios/scenario.js'
import { type TargetName, targetNames } from './targets/target.js'

export const scaling = 'scaling'
export const nodes = 'nodes'
export const tunnel = 'tunnel'
export const core = 'core'
const caseNames = cases.map(one => one.name)
const scenarioNames = [...scenarios.map(one => one.name), scaling, nodes, tunnel, core]

/** What is played if nothing is named. */
const usual = scenarioNames.filter(name => !scenarios.some(one => one.name === name && one.isOnRequest))

/** What `--check` measures: little work, and ratios that hardly differ from run to run. */
const checked = ['ticket', 'handshake', 'fan-out', 'inbound'] as const

export const help = `npm run bench -- [options]

  --scenario NAME   ${scenarioNames.join(', ')};
                    may be repeated (default: all but pauses)
  --target NAME     ${targetNames.join(', ')};
                    may be repeated (default: all)
  --rounds N        measured rounds, after one to warm up (default: 3)
  --scale FACTOR    of the number of operations, for a quick look (default: 1)
  --json FILE       writes every run and the summary there as well
  --check           a quick run of floor and ticketgate: fails if a ratio is over a fifth above the accepted one
  --accept          likewise, but accepts the ratios instead
  --ratios FILE     where accepted ratios are (default: bench/results/ratios.json)
  --publish         writes JSON, tables and charts into bench/results; with --connections, what was reached

  --case NAME       ${caseNames.join(', ')}:
                    situations that are measured as a whole; may be repeated. With --publish, into
                    bench/results too
  --profile NAME    ${profileNames.join(', ')}: where ticketgate spends its time
  --connections N   opens and holds N ticketed sockets, proves that all live, and that no ticket works twice

  --help            this text

What the figures mean: bench/README.md.`

export interface Options {
  readonly scenarios: readonly Scenario[]
  readonly scaling: boolean
  readonly nodes: boolean
  readonly tunnel: boolean
  readonly core: boolean
  readonly targets: readonly TargetName[]
  readonly rounds: number
  readonly scale: number
  readonly json: string | undefined
  readonly check: 'compare' | 'accept' | undefined
  readonly ratios: string
  readonly publish: boolean
  readonly cases: readonly Case[]
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
export const readOptions = (args: string[]): Options | 'help' => {
  const { values } = parseArgs({
    args,
    options: {
      scenario: { type: 'string', multiple: true },
      target: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      scale: { type: 'string' },
      json: { type: 'string' },
      check: { type: 'boolean', default: false },
      accept: { type: 'boolean', default: false },
      ratios: { type: 'string', default: acceptedFile },
      publish: { type: 'boolean', default: false },
      case: { type: 'string', multiple: true },
      profile: { type: 'string' },
      connections: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const check = values.accept ? 'accept' : values.check ? 'compare' : undefined
  const quick = check !== undefined
  const caseChoice = chosen('case', values.case ?? [], caseNames)
  const names = chosen('scenario', values.scenario ?? (quick ? [...checked] : [...usual]), scenarioNames)
  return {
    scenarios: scenarios.filter(one => names.includes(one.name)),
    scaling: names.includes(scaling),
    nodes: names.includes(nodes),
    tunnel: names.includes(tunnel),
    core: names.includes(core),
    targets: chosen('target', quick ? ['floor', 'ticketgate'] : values.target, targetNames),
    rounds: wholeIn('rounds', values.rounds ?? (quick ? '11' : '3'), 1, 100),
    scale: numberIn('scale', values.scale ?? (quick ? '0.5' : '1'), 0.001, 100),
    json: values.json,
    check,
    ratios: values.ratios,
    publish: values.publish,
    cases: cases.filter(one => caseChoice.includes(one.name)),
    profile: values.profile,
    connections:
      values.connections === undefined
        ? undefined
        : wholeIn('connections', values.connections, 1, 10_000_000),
  }
}
