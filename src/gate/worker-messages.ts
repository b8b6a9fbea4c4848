import type { LogoutOutcome } from '../admission/logouts.js'
import type { Config } from '../config/schema.js'
import type { ClockMarkView } from '../disk/gate-keys.js'
import type { StartupErrorCode } from '../errors.js'
import type { SharedLimits } from '../limits/shared-limits.js'
import type { RenewReach } from '../routes/renew.js'
import type { ChannelPage, ChannelQuery } from '../socket/channel-list.js'
import type { ConnectionPage, ConnectionQuery } from '../socket/connection-list.js'
import type { Reach } from '../socket/revoking.js'
import type { SocketOwner } from '../socket/sockets.js'
import type { PackedEvents } from '../telemetry/event-writer.js'
import type { Snapshot } from '../telemetry/metrics.js'
import type { LogoutOrder } from '../token/logout-token.js'
import type { RelayMessage, Revocation, SessionRenewed } from '../wire/relay.js'
import type { SpentMemory } from './replay.js'

/** The start data of a worker thread. */
export interface WorkerStart {
  readonly config: Config
  readonly thread: number
  readonly bootSecret: Uint8Array
  /** Undefined if spent tickets are in Redis, to which each thread has its own connection. */
  readonly memory: SpentMemory | undefined
  /** Why tickets were refused. */
  readonly refusals: SharedArrayBuffer
  readonly limits: SharedLimits
  readonly clockMark: ClockMarkView | undefined
  /** One 32-bit word: 1 while the bus to the other nodes is up. */
  readonly busState: SharedArrayBuffer
  /** The name of the broadcast channel between the threads of this gate. */
  readonly relay: string
}

export type ToWorker =
  /** Includes everything revoked so far. Later revocations are delivered. */
  | { readonly type: 'listen'; readonly port: number; readonly revocations: readonly Revocation[] }
  | { readonly type: 'deliver'; readonly id: number; readonly messages: readonly RelayMessage[] }
  | { readonly type: 'revoke'; readonly id: number; readonly revocation: Revocation }
  | { readonly type: 'owner'; readonly id: number; readonly socket: string }
  | { readonly type: 'connections'; readonly id: number; readonly query: ConnectionQuery }
  | { readonly type: 'channels'; readonly id: number; readonly query: ChannelQuery }
  | { readonly type: 'watch'; readonly isWatched: boolean }
  | { readonly type: 'loggedOut'; readonly id: number; readonly outcome: LogoutOutcome }
  | { readonly type: 'renewed'; readonly id: number; readonly reach: RenewReach }
  | { readonly type: 'snapshot' | 'drain' | 'close' | 'hangup' }

export type FromWorker =
  | { readonly type: 'ready' | 'listening' }
  | { readonly type: 'snapshot' | 'drained'; readonly snapshot: Snapshot }
  /** How many sockets the messages of that delivery reached. */
  | { readonly type: 'delivered'; readonly id: number; readonly reached: number }
  | { readonly type: 'revoked'; readonly id: number; readonly reach: Reach }
  | { readonly type: 'owned'; readonly id: number; readonly owner: SocketOwner | undefined }
  | { readonly type: 'connections'; readonly id: number; readonly page: ConnectionPage }
  | { readonly type: 'channels'; readonly id: number; readonly page: ChannelPage }
  | { readonly type: 'events'; readonly events: PackedEvents }
  /** To be carried out in all threads. */
  | { readonly type: 'logOut'; readonly id: number; readonly order: LogoutOrder }
  | { readonly type: 'renew'; readonly id: number; readonly renewed: SessionRenewed }
  | { readonly type: 'failed'; readonly code: StartupErrorCode; readonly message: string }
