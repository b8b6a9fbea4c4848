import type { CaseReport } from '../../figures/case.js'
import type { Users } from '../../targets/users.js'

export interface CaseStage {
  readonly directory: string
  readonly users: Users
  readonly rounds: number
  /** Scales a number of operations by `--scale`. */
  count(operations: number): number
}

/** A situation that is measured as a whole, not by operations that every target knows. */
export interface Case {
  readonly name: string
  measure(stage: CaseStage): Promise<Omit<CaseReport, 'run'>>
}

/** Rounds of a measurement, after one to warm up, which is dropped. Returns those of each key. */
export const playRounds = async <Key extends string>(
  rounds: number,
  play: (round: number) => Promise<Readonly<Record<Key, number>>>,
): Promise<Readonly<Record<Key, readonly number[]>>> => {
  const played: Readonly<Record<Key, number>>[] = []
  for (let round = 0; round <= rounds; round++) {
    const figures = await play(round)
    if (round > 0) played.push(figures)
  }
  const keys = Object.keys(played[0] ?? {}) as Key[]
  return Object.fromEntries(keys.map(key => [key, played.map(figures => figures[key])])) as Record<
    Key,
    number[]
  >
}
