import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { demand, frameHex, type Opener, withOpener } from './driver/opener.js'
import { digits } from './report.js'
import { say } from './run.js'
import { loginHex } from './scenarios/auth.js'
import { forge, shakeAll } from './scenarios/handshake.js'
import { ticketHex } from './scenarios/latency.js'
import type { Target } from './target.js'
import { startTicketgate, type Users } from './ticketgate.js'
import { payload, ticketWire } from './wires.js'

const shown = 25

type Slice = (target: Target) => Promise<void>

/** Each does its work once; it is repeated until the time is over. */
const loads: Readonly<Record<string, Slice>> = {
  login: async target => {
    await withOpener(target, opener => opener.run(`http 200 4 0 ${loginHex(target, target.logins.cheap)}`))
  },
  mint: async target => {
    await withOpener(target, opener => opener.run(`http 20000 32 0 ${ticketHex(target)}`))
  },
  handshake: async target => {
    await shakeAll(target, await ticketWire.lines(target, 4_000), '101')
  },
  refusal: async target => {
    const forgeries = (await ticketWire.lines(target, 4_000)).map(forge)
    await shakeAll(target, forgeries, '401 ticket_invalid')
  },
  'fan-out': target => withSubscribers(target, 1_000, 0, opener => opener.run(fanOut(500, 1_000))),
  publish: target =>
    withSubscribers(target, 0, 1, opener =>
      opener.run(`exchange 5000 16 ${frameHex(ticketWire.publication(payload, 1)).repeat(16)}`),
    ),
}

const fanOut = (rounds: number, subscribers: number): string =>
  `fanout ${rounds} ${subscribers} 0 ${frameHex(ticketWire.publication(payload))}`

const withSubscribers = (
  target: Target,
  subscribers: number,
  others: number,
  work: (opener: Opener) => Promise<unknown>,
): Promise<void> =>
  withOpener(target, async opener => {
    const lines = await ticketWire.lines(target, subscribers + Math.max(1, others))
    demand(await opener.run(`open ${lines.length} 32 0 1`, lines), '101', lines.length)
    await work(opener)
  })

export const profileNames = Object.keys(loads)

/** The part of a .cpuprofile that is needed: samples are ids of nodes, each with the time since the one before. */
interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  /** Microseconds of the monotonic clock. */
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const root = fileURLToPath(new URL('..', import.meta.url))

/** Self time by function from `begin` on, in microseconds, the longest first; without what V8 counts as idle. */
const selfTimes = (
  { nodes, startTime, samples, timeDeltas }: CpuProfile,
  begin: number,
): [string, number][] => {
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const file = url.startsWith('file://') ? relative(root, fileURLToPath(url)) : url
      const place = file === '' ? '' : ` ${file.replace(/^node_modules\//, '')}:${lineNumber + 1}`
      return [id, `${functionName || '(anonymous)'}${place}`]
    }),
  )
  const times = new Map<string, number>()
  let at = startTime
  samples.forEach((id, i) => {
    at += timeDeltas[i] ?? 0
    if (at < begin) return
    const name = names.get(id) ?? '(unknown)'
    // A delta is the time up to its sample, so the time after a sample is in the next one.
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i + 1] ?? 0))
  })
  times.delete('(idle)')
  return [...times].sort(([, a], [, b]) => b - a)
}

/** Profiles ticketgate under a load and gives a table of self time by function. */
export const profile = async (
  name: string,
  seconds: number,
  directory: string,
  users: Users,
): Promise<string> => {
  const load = loads[name]
  if (load === undefined)
    throw new Error(`--profile ${name} is unknown: choose from ${profileNames.join(', ')}`)
  const output = join(directory, 'profile')
  mkdirSync(output)
  const nodeOptions = ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${output}`]
  const target = await startTicketgate(directory, users, {
    nodeOptions,
    settings: { TICKETGATE_DRAIN_SECONDS: '1' },
  })
  say(`${name} for ${seconds} s …`)
  const begin = Number(process.hrtime.bigint() / 1000n)
  const end = performance.now() + seconds * 1000
  while (performance.now() < end) await load(target)
  await target.stop()
  const [file] = readdirSync(output)
  if (file === undefined) throw new Error('the server left no profile')
  const times = selfTimes(JSON.parse(readFileSync(join(output, file), 'utf8')) as CpuProfile, begin)
  const total = times.reduce((sum, [, micros]) => sum + micros, 0)
  const lines = times
    .slice(0, shown)
    .map(
      ([what, micros]) =>
        `${`${((micros / total) * 100).toFixed(1)} %`.padStart(7)}  ${`${digits(micros / 1000)} ms`.padStart(10)}  ${what}`,
    )
  return [`   self        time  function (${name}, its load alone, idle time left out)`, ...lines].join('\n')
}
