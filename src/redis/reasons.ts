/** More different reasons than an outage has; beyond it none is new. */
const most = 20

/** Tells the reasons of an outage apart, so that each is logged once, and all again in the next outage. */
export class Reasons {
  readonly #said = new Set<string>()

  /** Whether a reason was not there before in this outage. */
  isNew(reason: string): boolean {
    if (this.#said.has(reason) || this.#said.size >= most) return false
    this.#said.add(reason)
    return true
  }

  /** The outage is over. */
  clear(): void {
    this.#said.clear()
  }
}

const hints: readonly (readonly [pattern: RegExp, hint: string])[] = [
  [
    /NOPERM|ACL failure|no permissions|can't run this command|can't access/i,
    'the user of TICKETGATE_REDIS_URL lacks a permission: docs/redis.md lists the commands, keys and channels',
  ],
  [/WRONGPASS|NOAUTH|invalid password/i, 'TICKETGATE_REDIS_URL has no user and password, or wrong ones'],
  [/unknown (redis )?command/i, 'this server forbids a command that is needed, or calls it by another name'],
  [/READONLY|\breplica\b/, 'TICKETGATE_REDIS_URL has to name the primary'],
  [/\bOOM\b/, 'Redis is full: raise maxmemory'],
]

/** What an error of Redis says, without what it quotes of our commands, and what an operator can do about it. */
export function explain(error: unknown): { readonly reason: string; readonly hint?: string } {
  const text = error instanceof Error ? error.message : String(error)
  const reason = text
    .replace(/,? with args beginning with:.*$/s, '')
    .replace(/ script: [0-9a-f]{40},.*$/s, '')
    .trim()
  const hint = hints.find(([pattern]) => pattern.test(reason))?.[1]
  return hint === undefined ? { reason } : { reason, hint }
}
