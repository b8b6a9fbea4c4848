import { randomBytes } from 'node:crypto'
import { clock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { type ClockMarkView, keepClockMark } from '../disk/gate-keys.js'
import { RevocationFile } from '../disk/revocation-file.js'
import type { OpenReplay } from '../redis/open-replay.js'
import type { Log } from '../telemetry/log.js'
import type { Closers } from './closers.js'
import { createSpentMemory, openReplay, type SpentMemory } from './replay.js'

/** What one life of a gate works with, however many threads it has. */
export interface GateState {
  /** Of the boot key, which lives only in this process: tickets die with the memory of what was spent. */
  readonly bootSecret: Uint8Array
  readonly revocationFile: RevocationFile
  readonly clockMark: ClockMarkView | undefined
  readonly memory: SpentMemory | undefined
  readonly replay: OpenReplay
}

/**
 * Opens the state of a gate: its revocations, its clock mark and its replay cache.
 * @throws StartupError `revocations_invalid`, `clock_mark_invalid`, `redis_evicts`
 */
export async function openGateState(config: Config, log: Log, closers: Closers): Promise<GateState> {
  const revocationFile = await RevocationFile.open(config.stateDir, {
    nowSeconds: () => toSeconds(clock()),
    log,
  })
  const clockMark = closers.add(await keepClockMark(config, log))
  const memory = createSpentMemory(config)
  const replay = closers.add(await openReplay(config, log, memory))
  return { bootSecret: randomBytes(32), revocationFile, clockMark: clockMark?.view, memory, replay }
}
