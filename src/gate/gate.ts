import type { ServerApi } from '../socket/control.js'
import type { GateEvent } from '../telemetry/event-iterator.js'

/** A server: its public and its admin listener, in one thread or several. */
export interface Gate extends ServerApi {
  /**
   * What happens at this gate, as `GET /events` tells it: `for await (const event of gate.events)`.
   * A loop begins with a `reset`, as it does where it has fallen behind, and ends with the gate.
   */
  readonly events: AsyncIterable<GateEvent>
  /**
   * Opens the public and the admin listener. Can be called once.
   * @returns where they listen
   * @throws StartupError `port_unavailable`, and what its threads failed with
   * @throws TypeError when it was called before, or after `drain` or `close`
   */
  listen(): Promise<{ readonly url: string; readonly adminUrl: string }>
  /**
   * Takes no new tickets or sockets, closes the open ones in paced batches, then the listeners.
   * Resolves when all is closed, at the latest `drainSeconds` later.
   */
  drain(): Promise<void>
  /** Closes everything at once, also while it drains. */
  close(): Promise<void>
}
