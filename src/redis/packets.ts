import { Packr } from 'msgpackr'
import { MessagePackWriter } from '../message-pack/writer.js'
import { isChannelName, isRevocationReason, isSocketId, isUserName } from '../protocol.js'
import { isRevocation } from '../token/revocation.js'
import type { NodeMessage, Publication, SealedRenewal, SocketDisconnection } from '../wire/relay.js'

const packr = new Packr({ useRecords: false })

/**
 * What a node publishes to the others at once: a MessagePack array of its name, a number, and the
 * messages.
 */
export interface Packet {
  readonly from: string
  /**
   * How many publications that node has sent, including these. 0 for revocations, which need no
   * numbers: one that does not arrive is resent.
   */
  readonly sent: number
  readonly messages: readonly NodeMessage[]
}

/**
 * Packs a message for {@link packetOf}. Copies it: the memory of a publication is not ours to keep.
 */
export const packMessage = (message: NodeMessage): Buffer => packr.pack(message)

/**
 * Builds a packet.
 * @param messages at most 65,533 results of {@link packMessage}
 */
export function packetOf(from: string, sent: number, messages: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(3)
  const writer = new MessagePackWriter(head, 0, head.length)
  writer.array(2 + messages.length)
  return Buffer.concat([head.subarray(0, writer.at), packr.pack(from), packr.pack(sent), ...messages])
}

/** Reads a packet. Returns undefined for any other bytes. */
export function readPacket(bytes: Buffer): Packet | undefined {
  let value: unknown
  try {
    value = packr.unpack(bytes)
  } catch {
    return undefined
  }
  if (!Array.isArray(value)) return undefined
  const [from, sent, ...messages]: unknown[] = value
  if (typeof from !== 'string' || typeof sent !== 'number' || !Number.isSafeInteger(sent)) return undefined
  return messages.every(isMessage) ? { from, sent, messages } : undefined
}

const isMessage = (value: unknown): value is NodeMessage =>
  isRevocation(value) || isPublication(value) || isDisconnection(value) || isRenewal(value)

function isRenewal(value: unknown): value is SealedRenewal {
  if (typeof value !== 'object' || value === null) return false
  const { type, text, macs }: Readonly<Record<string, unknown>> = { ...value }
  return (
    type === 'renew' &&
    typeof text === 'string' &&
    Array.isArray(macs) &&
    macs.every(mac => mac instanceof Uint8Array)
  )
}

function isDisconnection(value: unknown): value is SocketDisconnection {
  if (typeof value !== 'object' || value === null) return false
  const { type, socket, renewBySeconds, reason }: Readonly<Record<string, unknown>> = { ...value }
  return (
    type === 'disconnect' &&
    typeof socket === 'string' &&
    isSocketId(socket) &&
    (renewBySeconds === undefined || Number.isSafeInteger(renewBySeconds)) &&
    (reason === undefined || (typeof reason === 'string' && isRevocationReason(reason)))
  )
}

function isPublication(value: unknown): value is Publication {
  if (typeof value !== 'object' || value === null) return false
  const { type, channel, encoding, data, user }: Readonly<Record<string, unknown>> = { ...value }
  return (
    type === 'publish' &&
    typeof channel === 'string' &&
    isChannelName(channel) &&
    (encoding === 'json' || encoding === 'msgpack') &&
    data instanceof Uint8Array &&
    (user === undefined || (typeof user === 'string' && isUserName(user)))
  )
}
