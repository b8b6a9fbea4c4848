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

/**
 * A user name as it is kept and compared: in Unicode's form NFC (RFC 8265 section 3.4), since a keyboard of macOS and
 * one of Windows may write the same name in different code points.
 */
export const preparedName = (name: string): string => name.normalize('NFC')

/** A password as it is hashed and compared (RFC 8265 section 4.2, OpaqueString): every space as U+0020, in form NFC. */
export const preparedPassword = (password: string): string =>
  password.replace(/\p{Zs}/gu, ' ').normalize('NFC')

/** The name becomes the `sub` of tokens, so the rules are the same. */
export const userNameRule = '1 to 256 bytes of UTF-8 without control characters'

export const channelPatternRule =
  'a channel name (0 to 128 of A-Z a-z 0-9 . _ ~ : @ -), or the beginning of one followed by *'
