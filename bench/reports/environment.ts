import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { cpuSource } from '../figures/cpu.js'
import type { Results } from '../figures/summary.js'

const versionOf = (path: string): string =>
  (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version

/** The first line of a program's version output. */
const versionLine = (program: string, argument: string): string =>
  spawnSync(program, [argument], { encoding: 'utf8' }).stdout?.split('\n', 1)[0]?.trim() ?? 'none'

/** Describes the machine and the software of the run. */
export const describeRun = (command: string, date: Date, rounds: number): Results['run'] => ({
  command,
  date: date.toISOString(),
  machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
  system: `Linux ${release()}`,
  node: process.versions.node,
  ticketgate: versionOf('../../package.json'),
  uWebSockets: versionOf('../../node_modules/uWebSockets.js/package.json'),
  autocannon: versionOf('../../node_modules/autocannon/package.json'),
  peers: Object.entries(peerVersions())
    .map(([name, version]) => `${name} ${version}`)
    .join(', '),
  go: versionLine('go', 'version'),
  redis: versionLine('redis-server', '--version'),
  gcc: versionLine('gcc', '--version'),
  cpuSource,
  rounds,
})

const peerVersions = (): Record<string, string> =>
  (
    JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
      dependencies: Record<string, string>
    }
  ).dependencies
