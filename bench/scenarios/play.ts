import type { Gap, Measurement } from '../figures/summary.js'
import { digits, say } from '../figures/text.js'
import type { Target } from '../targets/target.js'
import type { Scenario, Steps } from './scenario.js'

/**
 * Awaits work against a target. A failure says what was in progress, with the server's last log
 * lines if it has ended.
 */
const blaming = async <T>(target: Target, what: string, work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    const words = await target.child.lastWords()
    const ended = words === undefined ? '' : `\nThe server has ended. Its last lines:\n${words}`
    throw new Error(`${what} on ${target.name}: ${(error as Error).message}${ended}`, { cause: error })
  }
}

export interface Played {
  readonly measured: readonly Measurement[]
  readonly gaps: readonly Gap[]
}

/** Plays one round of a scenario, row by row, with the targets of a row right after one another. */
const playRound = async (
  scenario: Scenario,
  targets: readonly Target[],
  round: number,
  scale: number,
): Promise<Played> => {
  const measured: Measurement[] = []
  const gaps: Gap[] = []
  const prepared = new Map<Target, Steps>()
  const times = scale * (round === 0 ? (scenario.warmUp ?? 1) : 1)
  try {
    for (const target of targets) {
      const count = (operations: number): number => Math.round(operations * times * target.share)
      if (target.cannot[scenario.name] !== undefined) continue
      prepared.set(
        target,
        await blaming(target, `preparing ${scenario.name}`, scenario.prepare(target, count)),
      )
    }
    for (const { name: row } of scenario.rows) {
      const figures: string[] = []
      for (const target of targets) {
        const step = target.cannot[scenario.name] ?? target.cannot[row] ?? prepared.get(target)?.get(row)
        if (typeof step === 'string') gaps.push({ row, target: target.name, reason: step })
        if (typeof step !== 'function') continue
        const sample = await blaming(target, row, step())
        measured.push({ round, row, target: target.name, ...sample })
        figures.push(`${target.name} ${digits(sample.value)}`)
      }
      if (figures.length > 0)
        say(`${round === 0 ? 'warm-up' : `round ${round}`}  ${row}: ${figures.join(', ')}`)
    }
  } finally {
    for (const target of targets) await scenario.release?.(target)
  }
  return { measured, gaps: round <= 1 ? gaps : [] }
}

/** Plays all rounds of all scenarios. The first is the warm-up and dropped. */
export const playAll = async (
  scenarios: readonly Scenario[],
  targets: readonly Target[],
  rounds: number,
  scale: number,
): Promise<Played> => {
  const measured: Measurement[] = []
  const gaps: Gap[] = []
  for (let round = 0; round <= rounds; round++) {
    // Reverses the order every other round, so that a drift of the machine favours no target.
    const order = round % 2 === 0 ? targets : targets.toReversed()
    for (const scenario of scenarios) {
      if (scenario.maxRounds !== undefined && (round === 0 || round > scenario.maxRounds)) continue
      const played = await playRound(scenario, order, round, scale)
      if (round === 0) continue
      measured.push(...played.measured)
      gaps.push(...played.gaps)
    }
  }
  return { measured, gaps }
}
