import {
  isChannelName,
  isJsonObject,
  isRevocationReason,
  isSessionId,
  isSocketId,
  isUserName,
} from '../protocol.js'

/**
 * What is revoked: the tokens of a user, of one login session, or all; or the rights that they give
 * on one channel, for all users or for one.
 */
export type RevocationSubject = 'user' | 'session' | 'all' | 'channel' | 'user_channel'

/** Revokes what was issued so far, or the rights on a channel. */
export interface Revocation {
  readonly type: 'revoke'
  readonly subject: RevocationSubject
  /** The user, the session or the channel; '' for all. */
  readonly name: string
  /** The channel that is revoked for a user. */
  readonly channel?: string
  /** Tokens dated in this second or before are revoked. Unix seconds. */
  readonly atSeconds: number
  /** When the last of them has expired, so that this may be forgotten. Unix seconds. */
  readonly untilSeconds: number
  /** The only socket that ends; without it, all that were opened with revoked tokens. */
  readonly socket?: string
  /**
   * Until when sockets may renew with a fresh token; without it, they end at once. Unix seconds.
   */
  readonly renewBySeconds?: number
  /**
   * Where an earlier revocation ended sockets at once, and a later one, merged with it, lets them
   * renew: the date of the earlier one. Unix seconds.
   */
  readonly strictAtSeconds?: number
  /** The message for the clients. */
  readonly reason?: string
}

/** Whose authority it is, and when it was issued. */
export interface Authority {
  readonly user: string
  readonly session?: string | undefined
  readonly issuedAtSeconds: number
}

/**
 * Which tokens are revoked. Tokens are dated in whole seconds, so those of the same second are
 * revoked too, and a user who logs in again gets a token dated in the next one.
 */
export interface Revocations {
  /**
   * Adds a revocation; returns whether that changed anything. `full`: the capacity is reached, and
   * it was not added.
   */
  add(revocation: Revocation, nowSeconds: number): 'added' | 'known' | 'full'
  covers(authority: Authority): boolean
  /** The revocation that covers a channel of an authority that still gives others. */
  onChannel(authority: Authority, channel: string): Revocation | undefined
  /**
   * Keeps the channels that are revoked for an authority so until its session ends, Unix seconds. A
   * back end or a minter may give it a longer session than any token has.
   */
  keepFor(authority: Authority, sessionEndsAtSeconds: number): void
  /** What is stored for the subject of a revocation. */
  find(revocation: Pick<Revocation, 'subject' | 'name' | 'channel'>): Revocation | undefined
  /** The first second that no revocation of `user`, or of all, covers. */
  firstGoodSecond(user: string): number
  /** Those that still apply. */
  list(nowSeconds: number): Revocation[]
  readonly size: number
}

// About 20 MB. Beyond this, the admin API refuses, instead of claiming a revocation that does not
// hold.
const maxRevocations = 100_000

/** @param known earlier revocations, all of which are kept, whatever the capacity */
export const createRevocations = (
  known: readonly Revocation[] = [],
  capacity: number = maxRevocations,
): Revocations => new KnownRevocations(known, capacity)

class KnownRevocations implements Revocations {
  readonly #subjects = {
    user: new Map<string, Revocation>(),
    session: new Map<string, Revocation>(),
    all: new Map<string, Revocation>(),
    channel: new Map<string, Revocation>(),
  } as const
  /** Channels revoked for users: by user, then by channel. */
  readonly #taken = new Map<string, Map<string, Revocation>>()
  readonly #capacity: number
  #size = 0
  /** The latest second in which a channel was revoked. */
  #latestOnChannels = -1
  /** No revocation of a channel is kept for less than this, after what it revokes was issued. */
  #leastKeptSeconds = Number.POSITIVE_INFINITY

  constructor(known: readonly Revocation[], capacity: number) {
    this.#capacity = capacity
    for (const revocation of known) this.#keep(revocation)
  }

  get size(): number {
    return this.#size
  }

  add(revocation: Revocation, nowSeconds: number): 'added' | 'known' | 'full' {
    if (this.find(revocation) === undefined) {
      if (this.#size >= this.#capacity) this.#forget(nowSeconds)
      if (this.#size >= this.#capacity) return 'full'
    }
    return this.#keep(revocation)
  }

  covers({ user, session, issuedAtSeconds }: Authority): boolean {
    if (this.#size === 0) return false
    const subjects = this.#subjects
    if (subjects.user.size > 0 && reaches(subjects.user.get(user), issuedAtSeconds)) return true
    if (subjects.all.size > 0 && reaches(subjects.all.get(''), issuedAtSeconds)) return true
    if (session === undefined || subjects.session.size === 0) return false
    return reaches(subjects.session.get(session), issuedAtSeconds)
  }

  onChannel({ user, issuedAtSeconds }: Authority, channel: string): Revocation | undefined {
    if (this.#size === 0) return undefined
    const channels = this.#subjects.channel
    if (channels.size > 0) {
      const closed = channels.get(channel)
      if (reaches(closed, issuedAtSeconds)) return closed
    }
    if (this.#taken.size === 0) return undefined
    const taken = this.#taken.get(user)?.get(channel)
    return reaches(taken, issuedAtSeconds) ? taken : undefined
  }

  keepFor({ user, issuedAtSeconds }: Authority, sessionEndsAtSeconds: number): void {
    // Nearly always one of these: a scan of all channels would delay handshakes.
    if (issuedAtSeconds > this.#latestOnChannels) return
    if (sessionEndsAtSeconds <= issuedAtSeconds + this.#leastKeptSeconds) return
    for (const channels of [this.#subjects.channel, this.#taken.get(user)])
      for (const revocation of channels?.values() ?? [])
        if (reaches(revocation, issuedAtSeconds) && revocation.untilSeconds < sessionEndsAtSeconds)
          this.#keep({ ...revocation, untilSeconds: sessionEndsAtSeconds })
  }

  find({ subject, name, channel = '' }: Pick<Revocation, 'subject' | 'name' | 'channel'>) {
    return subject === 'user_channel'
      ? this.#taken.get(name)?.get(channel)
      : this.#subjects[subject].get(name)
  }

  firstGoodSecond(user: string): number {
    const { user: users, all } = this.#subjects
    let latest = Math.max(users.get(user)?.atSeconds ?? -1, all.get('')?.atSeconds ?? -1)
    for (const { atSeconds } of this.#taken.get(user)?.values() ?? []) latest = Math.max(latest, atSeconds)
    return latest + 1
  }

  list(nowSeconds: number): Revocation[] {
    this.#forget(nowSeconds)
    return this.#maps().flatMap(revocations => [...revocations.values()])
  }

  #maps(): Map<string, Revocation>[] {
    return [...Object.values(this.#subjects), ...this.#taken.values()]
  }

  #keep(revocation: Revocation): 'added' | 'known' {
    const before = this.find(revocation)
    const merged = before === undefined ? revocation : laterOf(before, revocation)
    if (merged === before) return 'known'
    if (before === undefined) this.#size++
    const { subject, atSeconds, untilSeconds } = merged
    if (subject === 'channel' || subject === 'user_channel') {
      this.#latestOnChannels = Math.max(this.#latestOnChannels, atSeconds)
      this.#leastKeptSeconds = Math.min(this.#leastKeptSeconds, untilSeconds - atSeconds)
    }
    this.#mapOf(merged).set(merged.subject === 'user_channel' ? (merged.channel ?? '') : merged.name, merged)
    return 'added'
  }

  #mapOf({ subject, name }: Revocation): Map<string, Revocation> {
    if (subject !== 'user_channel') return this.#subjects[subject]
    const taken = this.#taken.get(name) ?? new Map<string, Revocation>()
    this.#taken.set(name, taken)
    return taken
  }

  #forget(nowSeconds: number): void {
    for (const revocations of this.#maps())
      for (const [name, { untilSeconds }] of revocations)
        if (untilSeconds <= nowSeconds) {
          revocations.delete(name)
          this.#size--
        }
    for (const [user, taken] of this.#taken) if (taken.size === 0) this.#taken.delete(user)
  }
}

/** The same revocation, kept for at least this long after its date. */
export const keptFor = (revocation: Revocation, keepSeconds: number): Revocation => ({
  ...revocation,
  untilSeconds: Math.max(revocation.untilSeconds, revocation.atSeconds + keepSeconds),
})

const reaches = (revocation: Revocation | undefined, issuedAtSeconds: number): boolean =>
  revocation !== undefined && issuedAtSeconds <= revocation.atSeconds

/** Identifies the subject of a revocation. Channel names contain no spaces. */
export const revocationKey = ({ subject, name, channel }: Revocation): string =>
  subject === 'user_channel' ? `${subject}:${channel} ${name}` : `${subject}:${name}`

/**
 * Merges two revocations of one subject, which may arrive out of order: the later second and the
 * later end apply, and sockets end as the stricter of the two says. Returns `before` itself if the
 * other changes nothing.
 */
export function laterOf(before: Revocation, other: Revocation): Revocation {
  const isLater = other.atSeconds > before.atSeconds || other.untilSeconds > before.untilSeconds
  if (!isLater && isAsStrict(before, other)) return before
  const { socket, renewBySeconds, strictAtSeconds, ...rest } =
    other.atSeconds >= before.atSeconds ? other : before
  const atSeconds = Math.max(other.atSeconds, before.atSeconds)
  const earliest = Math.min(before.renewBySeconds ?? 0, other.renewBySeconds ?? 0)
  const strict = Math.max(strictAt(before), strictAt(other))
  return {
    ...rest,
    atSeconds,
    untilSeconds: Math.max(other.untilSeconds, before.untilSeconds),
    ...(socket !== undefined && before.socket === other.socket ? { socket } : {}),
    ...(earliest > 0 ? { renewBySeconds: earliest } : {}),
    ...(earliest === 0 && strict < atSeconds ? { strictAtSeconds: strict } : {}),
  }
}

/** Whether the first ends all sockets that the second would end, and no later. */
const isAsStrict = (first: Revocation, second: Revocation): boolean =>
  (first.socket === undefined || first.socket === second.socket) &&
  (first.renewBySeconds ?? 0) <= (second.renewBySeconds ?? 0) &&
  strictAt(first) >= strictAt(second)

/** The last second whose sockets end at once; before all time if none do. */
const strictAt = ({ atSeconds, renewBySeconds = 0, strictAtSeconds = atSeconds }: Revocation): number =>
  renewBySeconds > 0 ? Number.NEGATIVE_INFINITY : strictAtSeconds

/** Whether the sockets of an authority that was issued then end at once; others may renew. */
export const endsAtOnce = (revocation: Revocation, issuedAtSeconds: number): boolean =>
  issuedAtSeconds <= strictAt(revocation)

const isSeconds = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0

const names: Readonly<Record<RevocationSubject, (name: string) => boolean>> = {
  user: isUserName,
  session: isSessionId,
  all: name => name === '',
  channel: isChannelName,
  user_channel: isUserName,
}

const isOptional = (value: unknown, is: (text: string) => boolean): boolean =>
  value === undefined || (typeof value === 'string' && is(value))

/** Whether a value from elsewhere is a revocation. */
export function isRevocation(value: unknown): value is Revocation {
  if (!isJsonObject(value) || value.type !== 'revoke' || typeof value.name !== 'string') return false
  const { subject, name, channel, atSeconds, untilSeconds, socket, renewBySeconds, strictAtSeconds, reason } =
    value
  return (
    typeof subject === 'string' &&
    Object.hasOwn(names, subject) &&
    names[subject as RevocationSubject](name) &&
    (subject === 'user_channel') === (channel !== undefined) &&
    isOptional(channel, isChannelName) &&
    isSeconds(atSeconds) &&
    isSeconds(untilSeconds) &&
    isOptional(socket, isSocketId) &&
    (renewBySeconds === undefined || isSeconds(renewBySeconds)) &&
    (strictAtSeconds === undefined || isSeconds(strictAtSeconds)) &&
    isOptional(reason, isRevocationReason)
  )
}
