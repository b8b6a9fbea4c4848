/** Formats a figure with three digits, or more before the decimal point. */
export const digits = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 1000) return Math.round(value).toLocaleString('en')
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

/** Reports progress, with the time since the start. */
export const say = (text: string): void =>
  void process.stderr.write(`${(performance.now() / 1000).toFixed(0).padStart(4)} s  ${text}\n`)
