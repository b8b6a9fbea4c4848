import type { Config } from '../config/schema.js'

/** Caps on open connections; 0 = no cap. */
export interface ConnectionLimits {
  readonly total: number
  readonly perUser: number
  readonly perAddress: number
}

/** Returns the configured caps. */
export const connectionLimits = (
  config: Pick<Config, 'maxConnections' | 'maxConnectionsPerUser' | 'maxConnectionsPerAddress'>,
): ConnectionLimits => ({
  total: config.maxConnections,
  perUser: config.maxConnectionsPerUser,
  perAddress: config.maxConnectionsPerAddress,
})

/**
 * Counts open connections against the caps. A cap per user or per address that is off from the
 * start costs nothing, and cannot be turned on.
 */
export interface ConnectionCaps {
  readonly open: number
  /** Counts a connection, unless that would exceed a cap. Returns whether it was counted. */
  enter(user: string, address: string): boolean
  /** Counts a connection as closed. */
  leave(user: string, address: string): void
  /**
   * Counts a connection whose user is not known yet, by its address alone, unless that would exceed
   * the cap per address.
   */
  enterUnknown(address: string): boolean
  /** Counts a connection as closed that was counted by its address alone. */
  leaveUnknown(address: string): void
  /**
   * Counts the user of a connection that was counted by its address alone, unless that would exceed
   * the cap per user or the total. Then nothing changes.
   */
  identify(user: string): boolean
  /** Changes the caps. Connections that are open count, and stay. */
  setLimits(limits: ConnectionLimits): void
}

export function createConnectionCaps({ total, perUser, perAddress }: ConnectionLimits): ConnectionCaps {
  const users = createTally(perUser)
  const addresses = createTally(perAddress)
  let most = total
  let open = 0

  function identify(user: string): boolean {
    if (most > 0 && open >= most) return false
    if (users.isReached(user)) return false
    open++
    users.add(user)
    return true
  }

  return {
    get open() {
      return open
    },
    enter(user, address) {
      if (addresses.isReached(address) || !identify(user)) return false
      addresses.add(address)
      return true
    },
    leave(user, address) {
      open--
      users.remove(user)
      addresses.remove(address)
    },
    enterUnknown(address) {
      if (addresses.isReached(address)) return false
      addresses.add(address)
      return true
    },
    leaveUnknown: addresses.remove,
    identify,
    setLimits(limits) {
      most = limits.total
      users.setLimit(limits.perUser)
      addresses.setLimit(limits.perAddress)
    },
  }
}

interface Tally {
  isReached(key: string): boolean
  add(key: string): void
  remove(key: string): void
  setLimit(limit: number): void
}

/** Counts by key. It has one entry per key with a connection, so the total bounds it. */
function createTally(limit: number): Tally {
  if (limit === 0) return { isReached: () => false, add() {}, remove() {}, setLimit() {} }
  const counts = new Map<string, number>()
  let most = limit
  return {
    isReached: key => most > 0 && (counts.get(key) ?? 0) >= most,
    add: key => void counts.set(key, (counts.get(key) ?? 0) + 1),
    remove(key) {
      const left = (counts.get(key) ?? 0) - 1
      if (left > 0) counts.set(key, left)
      else counts.delete(key)
    },
    setLimit(changed) {
      most = changed
    },
  }
}
