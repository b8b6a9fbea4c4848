import { randomBytes } from 'node:crypto'
import { steadyClock, toSeconds } from '../clock.js'
import type { Config } from '../config/schema.js'
import { type ClockMarkView, type Keys, keepClockMark, openTicketKeys } from '../disk/gate-keys.js'
import { RevocationFile } from '../disk/revocation-file.js'
import { keepSeconds } from '../disk/revocation-life.js'
import type { OpenReplay } from '../redis/open-replay.js'
import type { Log } from '../telemetry/log.js'
import { bootKeyId, ticketKey } from '../ticket/key-ring.js'
import type { Closers } from './closers.js'
import { createSpentMemory, openReplay, type SpentMemory } from './replay.js'

/** The state of one life of a gate, however many threads it has. */
export interface GateState {
  /**
   * The secret of the boot key. It lives only in this process, so tickets die with the memory of
   * spent ones.
   */
  readonly bootSecret: Uint8Array
  /** The keys of this thread. Others open their own. */
  readonly keys: Keys
  readonly revocationFile: RevocationFile
  readonly clockMark: ClockMarkView | undefined
  readonly memory: SpentMemory | undefined
  readonly replay: OpenReplay
}

/**
 * Opens the state of a gate: its revocations, its clock mark, its replay cache and its keys.
 * @throws StartupError `revocations_invalid`, `clock_mark_invalid`, `redis_evicts`
 */
export async function openGateState(config: Config, log: Log, closers: Closers): Promise<GateState> {
  const revocationFile = await RevocationFile.open(config.stateDir, {
    nowSeconds: () => toSeconds(steadyClock()),
    keepSeconds: keepSeconds(config),
    log,
  })
  const clockMark = closers.add(await keepClockMark(config, log))
  const memory = createSpentMemory(config)
  const replay = closers.add(await openReplay(config, log, memory))
  const bootSecret = randomBytes(32)
  const bootKey = ticketKey(bootKeyId, bootSecret, config.node)
  const keys = closers.add(openTicketKeys(config, bootKey, log, clockMark?.view))
  return { bootSecret, keys, revocationFile, clockMark: clockMark?.view, memory, replay }
}
