import type { Redis } from 'ioredis'
import type { Revocation } from '../token/revocation.js'
import { isRevocation } from '../token/revocation.js'

const key = 'ticketgate:revocations'

const fieldOf = ({ subject, name }: Revocation): string => `${subject}:${name}`

/**
 * Brings the revocations of this node and those kept in Redis together, so that a node which was away, or is new,
 * learns what it missed, and what was revoked while Redis was away reaches the others.
 * @returns those that are news to this node, and those that were news to the others
 */
export async function shareRevocations(
  client: Redis,
  own: readonly Revocation[],
  nowSeconds: number,
): Promise<{ readonly learnt: readonly Revocation[]; readonly told: readonly Revocation[] }> {
  const known = new Map(own.map(revocation => [fieldOf(revocation), revocation]))
  const learnt: Revocation[] = []
  const over: string[] = []
  for (const [field, text] of Object.entries(await client.hgetall(key))) {
    const revocation = parse(text)
    if (revocation === undefined || revocation.untilSeconds <= nowSeconds) {
      over.push(field)
      continue
    }
    const ours = known.get(field)
    if (ours === undefined || ours.atSeconds < revocation.atSeconds) learnt.push(revocation)
    if (ours !== undefined && ours.atSeconds <= revocation.atSeconds) known.delete(field)
  }
  if (over.length > 0) await client.hdel(key, ...over)
  for (const [field, revocation] of known) await client.hset(key, field, JSON.stringify(revocation))
  return { learnt, told: [...known.values()] }
}

function parse(text: string): Revocation | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRevocation(value) ? value : undefined
  } catch {
    return undefined
  }
}
