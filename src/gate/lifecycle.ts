import type { Log } from '../telemetry/log.js'
import type { Gate } from './parts.js'

/** What a gate does to begin and to end, however many threads it has. */
export interface GateSteps {
  listen(): ReturnType<Gate['listen']>
  /** Takes nothing new, and closes in paced batches what is open. */
  drain(): Promise<void>
  /** Closes at once all that is open, and once more does no harm. */
  close(): void | Promise<void>
}

/**
 * A gate begins and ends in order, whoever asks for what and when: an end waits for a beginning that is under way, or
 * what that opens would stay; a beginning that fails leaves nothing open; whoever asks for a drain again waits for the one.
 */
export function createGateLife(steps: GateSteps, log: Log): Pick<Gate, 'listen' | 'drain' | 'close'> {
  let listening: Promise<unknown> | undefined
  let drained: Promise<void> | undefined

  async function settled(): Promise<void> {
    await listening?.catch(() => {})
  }

  async function listen(): ReturnType<Gate['listen']> {
    try {
      return await steps.listen()
    } catch (error) {
      await steps.close()
      throw error
    }
  }

  async function drain(): Promise<void> {
    await settled()
    await steps.drain()
    await steps.close()
    log.info('stopped')
  }

  return {
    listen() {
      const begun = listen()
      listening = begun
      return begun
    },
    drain: () => (drained ??= drain()),
    async close() {
      await settled()
      await steps.close()
    },
  }
}
