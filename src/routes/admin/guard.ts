import { createHash, timingSafeEqual } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import { Refusal } from '../../errors.js'
import type { RequestHead } from '../../http/request.js'

/** The keys that are accepted now. `current` is a new list after every change. */
export interface AcceptedKeys {
  readonly current: readonly string[]
}

/** Checks the head of a request, and throws a `Refusal` if it must not proceed. */
export type Guard = (head: RequestHead) => void

/**
 * Guards the admin listener: requests need one of the keys as `Authorization: Bearer`. Without
 * keys, which only development on loopback allows, everything except web pages passes.
 */
export const createGuard = (keys: AcceptedKeys): Guard =>
  keys.current.length === 0 ? refusePages : keyGuard(keys)

/**
 * Without a key, any page that the developer visits could publish and disconnect, but browsers send
 * `Origin` with every POST. It could also read, after pointing its own name to this address (DNS
 * rebinding), but then that name is in `Host`.
 */
function refusePages({ origin, host }: RequestHead): void {
  if (origin !== '') throw new Refusal('origin_forbidden', { detail: 'This listener is not for web pages.' })
  if (!isAddressOrLocalhost(host))
    throw new Refusal('origin_forbidden', {
      detail: 'Without an admin key this listener answers by IP address or as localhost only.',
    })
}

/** Whether a `Host` is one that no attacker can point elsewhere. */
function isAddressOrLocalhost(host: string): boolean {
  const name = host.replace(/:\d*$/, '')
  const bracketed = /^\[(.*)\]$/.exec(name)?.[1]
  return bracketed === undefined ? isIPv4(name) || name.toLowerCase() === 'localhost' : isIPv6(bracketed)
}

/** Compares digests, so that the time reveals neither the key nor its length. */
function keyGuard(keys: AcceptedKeys): Guard {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  let seen: readonly string[] = []
  let expected: readonly Buffer[] = []
  return ({ authorization }) => {
    if (seen !== keys.current) {
      seen = keys.current
      expected = seen.map(key => digest(`Bearer ${key}`))
    }
    const given = digest(authorization.replace(/^bearer +/i, 'Bearer '))
    let isKnown = false
    // Compares all of them, so that the time does not reveal which one matched.
    for (const each of expected) isKnown = timingSafeEqual(given, each) || isKnown
    if (isKnown) return
    throw new Refusal('admin_key_invalid', {
      detail: 'Send the admin key as Authorization: Bearer.',
      headers: { 'www-authenticate': 'Bearer realm="ticketgate admin"' },
    })
  }
}
