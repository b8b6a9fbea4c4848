import { createHash, timingSafeEqual } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'
import { Refusal } from '../../errors.js'
import type { RequestHead } from '../../http/request.js'

/** The keys that are accepted now: another list after every change. */
export interface AcceptedKeys {
  readonly current: readonly string[]
}

/** Looks at the head of a request, and throws a `Refusal` if it may not go on. */
export type Guard = (head: RequestHead) => void

/**
 * Who may use the admin listener: whoever sends one of the keys as `Authorization: Bearer`. Without
 * any, on loopback in development, all but web pages.
 */
export const createGuard = (keys: AcceptedKeys): Guard =>
  keys.current.length === 0 ? refusePages : keyGuard(keys)

/**
 * Without a key any page that the developer visits could publish and disconnect: browsers name it
 * with every POST. And it could read the rest, once its own name leads here (DNS rebinding): that
 * name is in `Host` then.
 */
function refusePages({ origin, host }: RequestHead): void {
  if (origin !== '') throw new Refusal('origin_forbidden', { detail: 'This listener is not for web pages.' })
  if (!isAddressOrLocalhost(host))
    throw new Refusal('origin_forbidden', {
      detail: 'Without an admin key this listener answers by IP address or as localhost only.',
    })
}

/** Whether a `Host` is a name that nobody can lead elsewhere. */
function isAddressOrLocalhost(host: string): boolean {
  const name = host.replace(/:\d*$/, '')
  const bracketed = /^\[(.*)\]$/.exec(name)?.[1]
  return bracketed === undefined ? isIPv4(name) || name.toLowerCase() === 'localhost' : isIPv6(bracketed)
}

/** Compares digests, so that neither time nor length tells anything of the key. */
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
    // All of them, so that the time does not tell which it was.
    for (const each of expected) isKnown = timingSafeEqual(given, each) || isKnown
    if (isKnown) return
    throw new Refusal('admin_key_invalid', {
      detail: 'Send the admin key as Authorization: Bearer.',
      headers: { 'www-authenticate': 'Bearer realm="ticketgate admin"' },
    })
  }
}
