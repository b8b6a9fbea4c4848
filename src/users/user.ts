/**
 * What a user may do on which channels: exact names, or prefixes ending in `*`. An absent list
 * grants nothing.
 */
export interface ChannelRights {
  readonly publish?: readonly string[]
  readonly subscribe?: readonly string[]
}

export interface User {
  readonly name: string
  /** An argon2id hash, as a PHC string. */
  readonly passwordHash: string
  /** If absent, the user has every right on every channel. */
  readonly channels?: ChannelRights
}

/**
 * A user name as stored and compared: normalised to NFC (RFC 8265 section 3.4). Keyboards of macOS
 * and Windows may write one name in different code points.
 */
export const preparedName = (name: string): string => name.normalize('NFC')

/**
 * A password as hashed and compared (RFC 8265 section 4.2, OpaqueString): every space is U+0020,
 * normalised to NFC.
 */
export const preparedPassword = (password: string): string =>
  password.replace(/\p{Zs}/gu, ' ').normalize('NFC')

/** The name becomes the `sub` of tokens, so their rules apply. */
export const userNameRule = '1 to 256 bytes of UTF-8 without control characters'

export const channelPatternRule =
  'a channel name (0 to 128 of A-Z a-z 0-9 . _ ~ : @ -), or a prefix of one followed by *'
