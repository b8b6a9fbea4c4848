import type { ServerApi } from '../socket/control.js'
import type { GateEvent } from '../telemetry/event-iterator.js'

/** A server: its public and its admin listener, in one thread or several. */
export interface Gate extends ServerApi {
  /**
   * The events of this gate, as in `GET /events`: `for await (const event of gate.events)`. A loop
   * starts with a `reset`, gets another one if it falls behind, and ends with the gate.
   */
  readonly events: AsyncIterable<GateEvent>
  /**
   * Opens the public and the admin listener. Can be called once.
   * @returns their URLs
   * @throws StartupError `port_unavailable`, and errors of its threads
   * @throws TypeError on a second call, or after `drain` or `close`
   */
  listen(): Promise<{ readonly url: string; readonly adminUrl: string }>
  /**
   * Refuses new tickets and sockets, closes the open ones in paced batches, then the listeners.
   * Resolves when everything is closed, `drainSeconds` later at the latest.
   */
  drain(): Promise<void>
  /** Closes everything at once, even during a drain. */
  close(): Promise<void>
}
