import type { WebSocket } from 'uWebSockets.js'
import { LRUCache } from 'lru-cache'
import { addressKey } from '../http/address.js'
import type { CloseReason } from '../telemetry/metrics.js'
import { type Address, normalize } from '../ticket/address.js'
import { type CarriedClaims, noClaims } from '../ticket/carried-claims.js'
import type { Rights } from '../ticket/rights.js'
import type { Encoding } from '../wire/encoding.js'

/** Fields of a session that many sockets have in common, and that never change. */
export interface SharedFields {
  /** The channel in the path. */
  readonly channel: string
  readonly encoding: Encoding
  /** The header `Origin` of its handshake. */
  readonly origin: string
}

/** The state of a socket when it opens; `''` if not known yet. */
export interface NewSession extends SharedFields {
  readonly id: string
  /** '' until it is known, which happens only with first-message auth. */
  readonly user: string
  readonly rights: Rights
  /** When the authority of the socket was given, Unix seconds. */
  readonly issuedAtSeconds: number
  /** When that authority ends, or the time to authenticate, Unix seconds. */
  readonly expiresAtSeconds: number
  /** Its bytes, one per character; '' if it is the peer's and no limit counts it. */
  readonly address: string
  /** The time of its handshake, Unix seconds. */
  readonly openedAtSeconds: number
}

/** A socket of a tunnel, to those who know nothing of tunnels. */
export interface TunnelEnd {
  /** The path of the tunnel. */
  readonly name: string
}

/**
 * What the server knows about an open WebSocket. It is small: there may be a million, and each
 * member takes eight bytes. Values that many share are stored once: their rights, and their shared
 * fields.
 */
export class Session {
  id: string
  user: string
  rights: Rights
  issuedAtSeconds: number
  expiresAtSeconds: number
  readonly address: string
  readonly openedAtSeconds: number
  /** Its number among the sockets of this thread, once it is open. */
  socket: number
  readonly #shared: SharedFields
  /**
   * Theoretical arrival time of its next message, for the message rate. Undefined before the first:
   * a number would take a heap object even for silent sockets.
   */
  arrivalMs: number | undefined
  /** Whether it has kept the name of a login session that its latest ticket does not name. */
  declare isFormer?: boolean
  /** The claims that its ticket or token carries, if any. */
  declare carried?: CarriedClaims | undefined
  /** Why we closed it, if we did. */
  declare closeReason?: CloseReason
  /** Data of the embedding application, and the connection that it uses. */
  declare data?: unknown
  declare connection?: unknown
  /** Its tunnel, if it belongs to one. */
  declare tunnel?: TunnelEnd

  constructor(known: NewSession) {
    this.id = known.id
    this.user = known.user
    this.rights = known.rights
    this.issuedAtSeconds = known.issuedAtSeconds
    this.expiresAtSeconds = known.expiresAtSeconds
    this.address = known.address
    this.openedAtSeconds = known.openedAtSeconds
    this.socket = 0
    this.#shared = sharedFieldsOf(known)
    this.arrivalMs = undefined
  }

  get claims(): CarriedClaims {
    return this.carried ?? noClaims
  }

  get channel(): string {
    return this.#shared.channel
  }

  get encoding(): Encoding {
    return this.#shared.encoding
  }

  get origin(): string {
    return this.#shared.origin
  }
}

/**
 * The user data of a uWS socket, which is the socket object itself. At the handshake it has one
 * property, because uWS copies each property onto the socket object when it opens, at about 0.3 µs
 * apiece. V8 reserves space for three when the first is added, so two more take no memory.
 */
export interface SocketData {
  readonly session: Session
  /** Its neighbours in the table of sockets. */
  next?: Socket | undefined
  previous?: Socket | undefined
}

export type Socket = WebSocket<SocketData>

const allRights: Rights = Object.freeze({})
export const noRights: Rights = Object.freeze({ publish: [], subscribe: [] })

const maxShared = 1000
const sharedFields = new LRUCache<string, SharedFields>({ max: maxShared })
const rightsByText = new LRUCache<string, Rights>({ max: maxShared })

let latest: SharedFields | undefined

/**
 * Returns the one copy of these fields. Most sockets have those of the one before: a lookup takes
 * ten times as long as the comparison.
 */
function sharedFieldsOf({ channel, encoding, origin }: SharedFields): SharedFields {
  if (latest?.channel === channel && latest.encoding === encoding && latest.origin === origin) return latest
  // Neither encoding nor channel names contain spaces.
  const text = `${encoding.name} ${channel} ${origin}`
  latest = sharedFields.get(text)
  if (latest === undefined) {
    latest = { channel, encoding, origin }
    sharedFields.set(text, latest)
  }
  return latest
}

/** Returns the one copy of these rights, without the other claims of a ticket or token. */
export function rightsOf({ channel, publish, subscribe }: Rights): Rights {
  if (channel === undefined && publish === undefined && subscribe === undefined) return allRights
  const isBound = publish === undefined && subscribe === undefined
  // A channel name is not JSON, so the two kinds of keys never clash.
  const text = isBound && channel !== undefined ? channel : JSON.stringify([channel, publish, subscribe])
  const known = rightsByText.get(text)
  if (known !== undefined) return known
  const rights = { channel, publish, subscribe }
  rightsByText.set(text, rights)
  return rights
}

/** Packs an address for a session. */
export const packAddress = (address: Address): string => String.fromCharCode(...address)

const unpackAddress = (text: string): Address => Buffer.from(text, 'latin1')

/** The address of a socket: from its handshake if it was kept, else its peer. */
export const addressOf = (ws: Socket): Address => {
  const { address } = ws.getUserData().session
  return address === '' ? normalize(new Uint8Array(ws.getRemoteAddress()).slice()) : unpackAddress(address)
}

/** The key by which the caps count the address of a session. */
export const addressKeyOf = ({ address }: Session): string =>
  address === '' ? '' : addressKey(unpackAddress(address))

/** The log fields of a session. */
export const aboutSession = ({ user, channel, id: session }: Session): object => ({ user, channel, session })
