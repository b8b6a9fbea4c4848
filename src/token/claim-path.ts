import { isJsonObject } from '../protocol.js'

export type Payload = Readonly<Record<string, unknown>>

/** Where a claim is: its name, or a path of names into nested objects. */
export type ClaimPath = string | readonly string[]

/**
 * Returns the claim at a path, or undefined. A string is first tried as the name of one claim,
 * because names may contain dots (`https://example.com/roles`), then as a path
 * (`realm_access.roles`).
 */
export function claimAt(payload: Payload, path: ClaimPath): unknown {
  if (typeof path === 'string')
    return Object.hasOwn(payload, path) ? payload[path] : nested(payload, path.split('.'))
  return nested(payload, path)
}

function nested(payload: Payload, names: readonly string[]): unknown {
  let value: unknown = payload
  for (const name of names) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/** Formats a path for people. */
export const pathText = (path: ClaimPath): string => (typeof path === 'string' ? path : path.join('.'))
