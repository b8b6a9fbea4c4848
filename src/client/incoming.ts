import { isJsonObject } from '../protocol.js'
import type { Answer } from './link.js'

/**
 * The message in a frame, with all that is used of one of its type in its form. Undefined where there is none: a server,
 * or something in between, that does not speak the protocol. A type that is not known here is a message all the same.
 */
export function readMessage(data: unknown): Answer | undefined {
  if (typeof data !== 'string') return undefined
  let message: unknown
  try {
    message = JSON.parse(data)
  } catch {
    return undefined
  }
  return isJsonObject(message) && isWhole(message) ? message : undefined
}

function isWhole({ type, session, user, channel, expires, code, detail }: Answer): boolean {
  switch (type) {
    case 'welcome':
      return areTexts(session, user, channel) && Number.isFinite(expires)
    case 'message':
      return areTexts(channel)
    case 'error':
      return areTexts(code, detail)
    case 'renewed':
      return Number.isFinite(expires)
    default:
      return areTexts(type)
  }
}

const areTexts = (...values: readonly unknown[]): boolean => values.every(value => typeof value === 'string')
