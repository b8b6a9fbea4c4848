import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { temporaryDirectory } from './fixtures.js'
import { freePort } from './free-port.js'
import { startProgram } from './redis.js'

const quorum = 2

/** Three sentinels that watch the primary at `port`; each has a configuration file of its own. */
export async function startSentinels(t: Test, port: number): Promise<number[]> {
  const directory = temporaryDirectory(t)
  const ports: number[] = []
  for (const name of ['a', 'b', 'c']) {
    const own = await freePort()
    const config = join(directory, `${name}.conf`)
    writeFileSync(
      config,
      `port ${own}
bind 127.0.0.1
dir ${directory}
sentinel monitor primary 127.0.0.1 ${port} ${quorum}
sentinel down-after-milliseconds primary 2000
sentinel failover-timeout primary 2000
`,
    )
    const program = await startProgram(t, 'redis-server', [config, '--sentinel'])
    await program.log.logged('+monitor master primary')
    ports.push(own)
  }
  return ports
}
