import type { LimiterUsages } from '../limits/rates.js'
import type { LogOut } from '../routes/backchannel-logout.js'
import type { Renew } from '../routes/renew.js'
import type { ChannelPage, ChannelQuery } from '../socket/channel-list.js'
import type { ConnectionPage, ConnectionQuery } from '../socket/connection-list.js'
import type { Reach } from '../socket/revoking.js'
import type { SocketOwner } from '../socket/sockets.js'
import type { Snapshot } from '../telemetry/metrics.js'
import type { Relay, RelayMessage, Revocation } from '../wire/relay.js'

/** Serves the public port: in one thread, or in a pool of threads. */
export interface Engine {
  /**
   * Opens the public listener.
   * @returns its port
   * @throws StartupError `port_unavailable`, and errors of its threads
   */
  listen(): Promise<number>
  /** Refuses new tickets and sockets, and closes the open ones in paced batches. */
  drain(): Promise<void>
  /** Closes everything at once. Does nothing the second time. */
  close(): Promise<void>
  /**
   * Carries out messages that were published or revoked elsewhere, in every thread.
   * @returns how many sockets they reached
   */
  deliver(messages: readonly RelayMessage[]): Promise<number>
  /** Carries a revocation out, in every thread. */
  revoke(revocation: Revocation): Promise<Reach>
  /** The owner of a socket of any thread. Undefined if this gate has no such socket. */
  ownerOf(socket: string): Promise<SocketOwner | undefined>
  /** A page of the open sockets of all threads. */
  connections(query: ConnectionQuery): Promise<ConnectionPage>
  /** A page of the channels that they are subscribed to. */
  channels(query: ChannelQuery): Promise<ChannelPage>

  /** Turns the events of all threads on or off. */
  watch(isWatched: boolean): void
  /** The counts of all threads. */
  snapshot(): Promise<Snapshot>
  /** What the limits that hold over all threads do at the moment. */
  limiters(): LimiterUsages
  /** How many sockets may be open; 0 = no cap. */
  readonly maxConnections: number
}

/** What connects an engine to the rest of the gate, and to the other nodes. */
export interface Uplink {
  readonly logOut: LogOut
  readonly renew: Renew
  readonly send: Relay['send']
  /** Undefined if there are no other nodes. */
  readonly isBusUp: (() => boolean) | undefined
}
