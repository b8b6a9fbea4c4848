import type { LogOut } from '../routes/backchannel-logout.js'
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
   * @throws StartupError `port_unavailable`, and what a thread failed with
   */
  listen(): Promise<number>
  /** Takes no new tickets or sockets, and closes the open ones in paced batches. */
  drain(): Promise<void>
  /** Closes everything at once. Called a second time it does nothing. */
  close(): Promise<void>
  /**
   * Carries out what was published or revoked elsewhere, in every thread.
   * @returns how many sockets it reached
   */
  deliver(messages: readonly RelayMessage[]): Promise<number>
  /** Carries a revocation out, in every thread. */
  revoke(revocation: Revocation): Promise<Reach>
  /** Whose socket it is, in whatever thread; undefined if it is none of this gate. */
  ownerOf(socket: string): Promise<SocketOwner | undefined>
  /** A page of the open sockets of all threads. */
  connections(query: ConnectionQuery): Promise<ConnectionPage>
  /** A page of the channels that they hear. */
  channels(query: ChannelQuery): Promise<ChannelPage>

  /** Lets the threads tell what happens, or no more. */
  watch(isWatched: boolean): void
  /** What all threads have counted. */
  snapshot(): Promise<Snapshot>
}

/** The way from an engine to the rest of the gate, and to the other nodes. */
export interface Uplink {
  readonly logOut: LogOut
  readonly send: Relay['send']
  /** Undefined where there are no other nodes. */
  readonly isBusUp: (() => boolean) | undefined
}
