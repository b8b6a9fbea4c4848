import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expectAnswers, frameHex, type Opener, withOpener } from '../drivers/opener.js'
import { type CpuProfile, selfTimes } from '../figures/self-times.js'
import { digits, say } from '../figures/text.js'
import type { Target } from '../targets/target.js'
import { startTicketgate } from '../targets/ticketgate.js'
import type { Users } from '../targets/users.js'
import { payload, ticketWire } from '../targets/wires.js'
import { loginHex } from './auth.js'
import { forge, handshakeAll } from './handshake.js'
import { ticketHex } from './latency.js'

const shown = 25

/** Prepares tickets and subscribers, and returns the work to profile, about 5 seconds of it. */
type Prepare = (target: Target, opener: Opener, count: (operations: number) => number) => Promise<Load>
type Load = () => Promise<unknown>

const openSockets = async (target: Target, opener: Opener, count: number): Promise<void> => {
  const lines = await ticketWire.lines(target, count)
  expectAnswers(await opener.run(`open ${count} 32 0 ${ticketWire.greetingFrames}`, lines), '101', count)
}

const loads: Readonly<Record<string, Prepare>> = {
  login: async (target, opener, count) => () =>
    opener.run(`http ${count(1_000)} 4 0 ${loginHex(target, target.logins.cheap)}`),
  mint: async (target, opener, count) => () => opener.run(`http ${count(200_000)} 32 0 ${ticketHex(target)}`),
  handshake: async (target, _opener, count) => {
    const lines = await ticketWire.lines(target, count(50_000))
    return () => handshakeAll(target, lines, '101')
  },
  refusal: async (target, _opener, count) => {
    const lines = (await ticketWire.lines(target, count(50_000))).map(forge)
    return () => handshakeAll(target, lines, '401 ticket_invalid')
  },
  'fan-out': async (target, opener, count) => {
    await openSockets(target, opener, 1_001)
    return () => opener.run(`fanout ${count(1_000)} 1000 0 ${frameHex(ticketWire.publication(payload))}`)
  },
  publish: async (target, opener, count) => {
    await openSockets(target, opener, 1)
    const publications = frameHex(ticketWire.publication(payload, 1)).repeat(16)
    return () => opener.run(`exchange ${count(40_000)} 16 ${publications}`)
  },
}

export const profileNames = Object.keys(loads)

/** Profiles ticketgate under a load. Returns a table of self time by function. */
export const profile = async (
  name: string,
  scale: number,
  directory: string,
  users: Users,
): Promise<string> => {
  const prepare = loads[name]
  if (prepare === undefined)
    throw new Error(`--profile ${name} is unknown: choose from ${profileNames.join(', ')}`)
  const output = join(directory, 'profile')
  mkdirSync(output)
  const nodeOptions = ['--cpu-prof', '--cpu-prof-interval=200', `--cpu-prof-dir=${output}`]
  const target = await startTicketgate(directory, users, {
    nodeOptions,
    settings: { TICKETGATE_DRAIN_SECONDS: '1' },
  })
  const begin = await withOpener(target, async opener => {
    const run = await prepare(target, opener, operations => Math.max(4, Math.round(operations * scale)))
    const start = Number(process.hrtime.bigint() / 1000n)
    say(`profiling ${name} …`)
    await run()
    return start
  })
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
  return [
    `   self        time  function (${name}, from the beginning of the load; idle time left out)`,
    ...lines,
  ].join('\n')
}
