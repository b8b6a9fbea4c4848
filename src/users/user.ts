/** What a user may do in which channels: exact names, or prefixes ending in `*`. An absent list grants nothing. */
export interface ChannelRights {
  readonly publish?: readonly string[]
  readonly subscribe?: readonly string[]
}

export interface User {
  readonly name: string
  /** PHC string, argon2id. */
  readonly passwordHash: string
  /** Absent = every right in every channel. */
  readonly channels?: ChannelRights
}

/** The name becomes the `sub` of tokens, so the rules are the same. */
export const userNameRule = '1 to 256 bytes of UTF-8 without control characters'

export const channelPatternRule =
  'a channel name (0 to 128 of A-Z a-z 0-9 . _ ~ : @ -), or the beginning of one followed by *'
