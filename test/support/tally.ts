/** Counts outcomes. */
export const tally = (outcomes: Iterable<string | number>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}
