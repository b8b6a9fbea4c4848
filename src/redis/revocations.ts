import type { Redis } from 'ioredis'
import { isRevocation, type Revocation } from '../token/revocation.js'

const key = 'ticketgate:revocations'

// As arguments of one call, a hundred thousand are more than the stack holds.
const fieldsAtOnce = 1000

/** What tells the revocations of one from those of another. */
export const fieldOf = ({ subject, name }: Revocation): string => `${subject}:${name}`

/** How the revocations of this node and those kept in Redis differ. */
export interface Differences {
  /** Those that are news to this node. */
  readonly learnt: readonly Revocation[]
  /** Those that Redis lacks. */
  readonly lacking: readonly Revocation[]
  /** The fields of those that count no more. */
  readonly over: readonly string[]
}

/** Reads what is kept in Redis, so that a node which was away, or is new, learns what it missed. */
export async function compareRevocations(
  client: Redis,
  own: readonly Revocation[],
  nowSeconds: number,
): Promise<Differences> {
  const lacking = new Map(own.map(revocation => [fieldOf(revocation), revocation]))
  const learnt: Revocation[] = []
  const over: string[] = []
  for (const [field, text] of Object.entries(await client.hgetall(key))) {
    const revocation = parse(text)
    if (revocation === undefined || revocation.untilSeconds <= nowSeconds) {
      over.push(field)
      continue
    }
    const ours = lacking.get(field)
    if (ours === undefined || ours.atSeconds < revocation.atSeconds) learnt.push(revocation)
    if (ours !== undefined && ours.atSeconds <= revocation.atSeconds) lacking.delete(field)
  }
  return { learnt, lacking: [...lacking.values()], over }
}

/** Keeps in Redis what it lacks, so that what was revoked while it was away reaches the others; and forgets what is over. */
export async function keepRevocations(client: Redis, { lacking, over }: Differences): Promise<void> {
  // First, for one of ours may be under the same name.
  for (let at = 0; at < over.length; at += fieldsAtOnce)
    await client.hdel(key, ...over.slice(at, at + fieldsAtOnce))
  for (const revocation of lacking) await client.hset(key, fieldOf(revocation), JSON.stringify(revocation))
}

function parse(text: string): Revocation | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isRevocation(value) ? value : undefined
  } catch {
    return undefined
  }
}
