import { bucketSeconds, type Durations } from './durations.js'

/** The text format of Prometheus, version 0.0.4. Each function returns the text of one metric. */

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

type Labels = Readonly<Record<string, string>>

export const counter = (name: string, help: string, value: number): string =>
  metric('counter', name, help, line(name, {}, value))

export const gauge = (name: string, help: string, value: number, labels: Labels = {}): string =>
  metric('gauge', name, help, line(name, labels, value))

/** A counter with one label. */
export const counterBy = (
  name: string,
  label: string,
  help: string,
  counts: Readonly<Record<string, number>>,
): string => metric('counter', name, help, linesBy(name, label, counts))

/** A gauge with one label. */
export const gaugeBy = (
  name: string,
  label: string,
  help: string,
  values: Readonly<Record<string, number>>,
): string => metric('gauge', name, help, linesBy(name, label, values))

/** A histogram of durations, in seconds. */
export function histogram(name: string, help: string, { counts, seconds }: Durations): string {
  let total = 0
  const buckets = counts.map((count, bucket) => {
    total += count
    return line(
      `${name}_bucket`,
      { le: numberText(bucketSeconds[bucket] ?? Number.POSITIVE_INFINITY) },
      total,
    )
  })
  const ends = line(`${name}_sum`, {}, seconds) + line(`${name}_count`, {}, total)
  return metric('histogram', name, help, buckets.join('') + ends)
}

const metric = (type: string, name: string, help: string, lines: string): string =>
  `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines}`

const linesBy = (name: string, label: string, values: Readonly<Record<string, number>>): string =>
  Object.entries(values)
    .map(([key, value]) => line(name, { [label]: key }, value))
    .join('')

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join()}}`} ${numberText(value)}\n`
}

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')

const numberText = (value: number): string => String(value).replace('Infinity', '+Inf').replace('-+', '-')
