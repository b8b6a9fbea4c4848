import { isJsonObject, isSessionId, isUserName } from '../protocol.js'

/** Ends what a user, or one login session, was given so far. */
export interface Revocation {
  readonly type: 'revoke'
  readonly subject: 'user' | 'session'
  readonly name: string
  /** Tokens dated in this second or before are revoked. Unix seconds. */
  readonly atSeconds: number
  /** When the last of them has expired, so that this may be forgotten. Unix seconds. */
  readonly untilSeconds: number
}

/** Whose authority it is, and when it was given. */
export interface Authority {
  readonly user: string
  readonly session?: string | undefined
  readonly issuedAtSeconds: number
}

/**
 * Which tokens are good no more. Tokens are dated in whole seconds, so those of the very second of a revocation are
 * revoked too, and who logs in again gets a token of the next one.
 */
export interface Revocations {
  /** Keeps a revocation; says whether that changed anything. `full`: there is no room, and it counts for nothing. */
  add(revocation: Revocation, nowSeconds: number): 'added' | 'known' | 'full'
  covers(authority: Authority): boolean
  /** What is kept of the subject of a revocation. */
  find(revocation: Pick<Revocation, 'subject' | 'name'>): Revocation | undefined
  /** The first second that no revocation of `user` covers. */
  firstGoodSecond(user: string): number
  /** Those that still count. */
  list(nowSeconds: number): Revocation[]
  readonly size: number
}

// About 20 MB. Beyond it the admin API refuses, rather than say that something was revoked which is not.
const maxRevocations = 100_000

/** @param known revocations of before, all of which are kept, whatever the capacity */
export function createRevocations(
  known: readonly Revocation[] = [],
  capacity: number = maxRevocations,
): Revocations {
  const subjects = { user: new Map<string, Revocation>(), session: new Map<string, Revocation>() }
  const all = [subjects.user, subjects.session]
  const size = (): number => subjects.user.size + subjects.session.size

  function forget(nowSeconds: number): void {
    for (const revocations of all)
      for (const [name, { untilSeconds }] of revocations)
        if (untilSeconds <= nowSeconds) revocations.delete(name)
  }

  function keep(revocation: Revocation): 'added' | 'known' {
    const { subject, name } = revocation
    const before = subjects[subject].get(name)
    const merged = before === undefined ? revocation : laterOf(before, revocation)
    if (merged === before) return 'known'
    subjects[subject].set(name, merged)
    return 'added'
  }

  for (const revocation of known) keep(revocation)

  const reaches = (revocation: Revocation | undefined, issuedAtSeconds: number): boolean =>
    revocation !== undefined && issuedAtSeconds <= revocation.atSeconds

  return {
    add(revocation, nowSeconds) {
      if (!subjects[revocation.subject].has(revocation.name)) {
        if (size() >= capacity) forget(nowSeconds)
        if (size() >= capacity) return 'full'
      }
      return keep(revocation)
    },
    covers({ user, session, issuedAtSeconds }) {
      if (subjects.user.size > 0 && reaches(subjects.user.get(user), issuedAtSeconds)) return true
      if (session === undefined || subjects.session.size === 0) return false
      return reaches(subjects.session.get(session), issuedAtSeconds)
    },
    find: ({ subject, name }) => subjects[subject].get(name),
    firstGoodSecond(user) {
      const revocation = subjects.user.get(user)
      return revocation === undefined ? 0 : revocation.atSeconds + 1
    },
    list(nowSeconds) {
      forget(nowSeconds)
      return all.flatMap(revocations => [...revocations.values()])
    },
    get size() {
      return size()
    },
  }
}

/** What tells the revocations of one user, or session, from those of another. */
export const revocationKey = ({ subject, name }: Revocation): string => `${subject}:${name}`

/**
 * Two revocations of one subject as one. They may come out of order from elsewhere: the later second and the later end
 * count. Returns `before` itself where the other changes nothing.
 */
export function laterOf(before: Revocation, other: Revocation): Revocation {
  if (other.atSeconds <= before.atSeconds && other.untilSeconds <= before.untilSeconds) return before
  return {
    ...other,
    atSeconds: Math.max(other.atSeconds, before.atSeconds),
    untilSeconds: Math.max(other.untilSeconds, before.untilSeconds),
  }
}

const isSeconds = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0

/** Whether something from elsewhere is a revocation. */
export function isRevocation(value: unknown): value is Revocation {
  if (!isJsonObject(value) || value.type !== 'revoke' || typeof value.name !== 'string') return false
  const names = { user: isUserName, session: isSessionId }
  return (
    (value.subject === 'user' || value.subject === 'session') &&
    names[value.subject](value.name) &&
    isSeconds(value.atSeconds) &&
    isSeconds(value.untilSeconds)
  )
}
