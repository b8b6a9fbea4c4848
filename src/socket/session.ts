import type { WebSocket } from 'uWebSockets.js'
import { LRUCache } from 'lru-cache'
import { addressKey } from '../http/address.js'
import type { CloseReason } from '../ops/metrics.js'
import type { Address } from '../ticket/address.js'
import type { Rights } from '../ticket/rights.js'
import type { Connection } from './connection.js'
import type { Encoding } from './encoding.js'

/**
 * What the server knows of an open WebSocket. Small: there may be a million. Texts and rights that many have in common
 * are kept once, by {@link shared} and {@link rightsOf}.
 */
export interface Session {
  id: string
  /** '' until it is known, which is so only with first-message auth. */
  user: string
  /** The channel in the path. */
  readonly channel: string
  rights: Rights
  /** When the authority it came from was given, Unix seconds. */
  issuedAtSeconds: number
  /** When that ends, or the time to show one, Unix seconds. */
  expiresAtSeconds: number
  readonly encoding: Encoding
  /** The header `Origin` of its handshake. */
  readonly origin: string
  /** Its bytes, one a character; '' where nothing goes by the address. */
  readonly address: string
  /** Theoretical arrival time of its next message, for the message rate. */
  arrivalMs: number
  /** Its neighbours in the table of sockets. */
  next: Socket | undefined
  previous: Socket | undefined
  /** Why we closed it, if we did. */
  closeReason?: CloseReason
  /** What the embedding application made of it, and how it deals with it. */
  data?: unknown
  connection?: Connection<unknown>
}

/**
 * The user data of a uWS socket: one property, because uWS copies each own property of it onto the socket object when it
 * opens, which costs about 0.3 µs apiece.
 */
export interface SocketData {
  readonly session: Session
}

export type Socket = WebSocket<SocketData>

const allRights: Rights = Object.freeze({})
export const noRights: Rights = Object.freeze({ publish: [], subscribe: [] })

const maxShared = 1000
const texts = new LRUCache<string, string>({ max: maxShared })
const rightsByText = new LRUCache<string, Rights>({ max: maxShared })

/** The one copy of a text that many sockets have, such as an origin. */
export function shared(text: string): string {
  if (text === '') return ''
  const known = texts.get(text)
  if (known !== undefined) return known
  texts.set(text, text)
  return text
}

/** The one copy of these rights, without what else a ticket or token says. */
export function rightsOf({ channel, publish, subscribe }: Rights): Rights {
  if (channel === undefined && publish === undefined && subscribe === undefined) return allRights
  const isBound = publish === undefined && subscribe === undefined
  // A channel name is no JSON, so the two kinds of keys never meet.
  const text = isBound && channel !== undefined ? channel : JSON.stringify([channel, publish, subscribe])
  const known = rightsByText.get(text)
  if (known !== undefined) return known
  const rights = { channel, publish, subscribe }
  rightsByText.set(text, rights)
  return rights
}

/** A new session; `''` for what is not known yet. */
export const createSession = (
  known: Omit<Session, 'arrivalMs' | 'next' | 'previous' | 'closeReason' | 'data' | 'connection'>,
): Session => ({
  // Each by its name: to spread them costs 10 µs.
  id: known.id,
  user: known.user,
  channel: known.channel,
  rights: known.rights,
  issuedAtSeconds: known.issuedAtSeconds,
  expiresAtSeconds: known.expiresAtSeconds,
  encoding: known.encoding,
  origin: known.origin,
  address: known.address,
  arrivalMs: 0,
  next: undefined,
  previous: undefined,
})

/** An address as a session keeps it. */
export const packAddress = (address: Address): string => String.fromCharCode(...address)

export const unpackAddress = (text: string): Address => Buffer.from(text, 'latin1')

/** How the caps count the address of a session. */
export const addressKeyOf = ({ address }: Session): string =>
  address === '' ? '' : addressKey(unpackAddress(address))
