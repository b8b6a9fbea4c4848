/** More distinct reasons than an outage has. Further ones are not logged. */
const most = 20

/** Remembers the reasons of an outage, so that each is logged once per outage. */
export class Reasons {
  readonly #said = new Set<string>()

  /** Whether a reason is new in this outage. */
  isNew(reason: string): boolean {
    if (this.#said.has(reason) || this.#said.size >= most) return false
    this.#said.add(reason)
    return true
  }

  /** Ends the outage. */
  clear(): void {
    this.#said.clear()
  }
}

const hints: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [
    /NOPERM|ACL failure|no permissions|can't run this command|can't access/i,
    'the user of TICKETGATE_REDIS_URL lacks a permission: docs/redis.md lists the commands, keys and channels',
  ],
  [/WRONGPASS|NOAUTH|invalid password/i, 'TICKETGATE_REDIS_URL lacks a user and password, or has wrong ones'],
  [/unknown (redis )?command/i, 'this server forbids a required command, or has renamed it'],
  [/READONLY|\breplica\b/, 'TICKETGATE_REDIS_URL must name the primary'],
  [
    /All sentinels are unreachable/,
    'the sentinels in TICKETGATE_REDIS_URL must be reachable and know the primary by the name in it',
  ],
  [/\bOOM\b/, 'Redis is full: raise maxmemory'],
]

/**
 * Returns what an error of Redis says, without what it quotes of our commands, and a hint for the
 * operator.
 */
export function explain(error: unknown): { readonly reason: string; readonly hint?: string } {
  const text = error instanceof Error ? error.message : String(error)
  const reason = text
    .replace(/,? with args beginning with:.*$/s, '')
    .replace(/ script: [0-9a-f]{40},.*$/s, '')
    // With a random delay, each failure would be a new reason.
    .replace(/ Retrying from scratch after [\d.]+ms\./, '')
    .trim()
  const hint = hints.find(([pattern]) => pattern.test(reason))?.[1]
  return hint === undefined ? { reason } : { reason, hint }
}
