import { isJsonObject, type WelcomeMessage } from '../protocol.js'

/** The first message on a socket. */
export type Welcome = Omit<WelcomeMessage, 'type'>

/** A message published by another client, or by the server. */
export interface Message<Data = unknown> {
  readonly channel: string
  readonly data: Data
  /** The publisher; absent if the operator published it. */
  readonly user?: string
}

/** A JSON object, nothing of which has been checked yet. */
export type Fields = Readonly<Record<string, unknown>>

/**
 * Returns the message in a frame, once all members used here have the right form. Undefined if
 * there is none: the server, or an intermediary, does not speak the protocol. Messages of unknown
 * types are accepted.
 */
export function readMessage(data: unknown): Fields | undefined {
  if (typeof data !== 'string') return undefined
  try {
    const message: unknown = JSON.parse(data)
    return isJsonObject(message) && isWhole(message) ? message : undefined
  } catch {
    return undefined
  }
}

function isWhole({ type, session, user, channel, expires, code, detail, withinSeconds }: Fields): boolean {
  switch (type) {
    case 'welcome':
      return areStrings(session, user, channel) && Number.isFinite(expires)
    case 'message':
    case 'unsubscribed':
      return areStrings(channel)
    case 'error':
      return areStrings(code, detail)
    case 'renewed':
      return Number.isFinite(expires)
    case 'renew_required':
      return Number.isFinite(withinSeconds)
    default:
      return areStrings(type)
  }
}

const areStrings = (...values: readonly unknown[]): boolean =>
  values.every(value => typeof value === 'string')
