/**
 * The shape of a small chart, `width` steps wide and `height` high. The newest value is at the
 * right edge.
 */
export interface Sparkline {
  readonly line: string
  readonly area: string
}

/** @param values the newest last; undefined = unknown, which leaves a gap */
export function sparklineOf(
  values: readonly (number | undefined)[],
  { width, height }: { readonly width: number; readonly height: number },
): Sparkline {
  // A flat line of ones should not look like a peak.
  const top = Math.max(4, ...values.map(value => value ?? 0)) * 1.1
  const first = width + 1 - values.length
  let line = ''
  let area = ''
  let start: number | undefined
  const round = (value: number): string => String(Math.round(value * 100) / 100)
  for (const [index, value] of [...values, undefined].entries()) {
    const x = first + index
    if (value === undefined) {
      if (start !== undefined) area += `L${x - 1} ${height}L${start} ${height}Z`
      start = undefined
      continue
    }
    const point = `${x} ${round(height - (value / top) * height)}`
    line += `${start === undefined ? 'M' : 'L'}${point}`
    area += start === undefined ? `M${point}` : `L${point}`
    start ??= x
  }
  return { line, area }
}
