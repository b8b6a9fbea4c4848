import { isChannelPattern } from '../protocol.js'

/** Channel names, or prefixes ending in `*`; undefined = every channel. */
export type ChannelPatterns = readonly string[] | undefined

const matches = (pattern: string, channel: string): boolean =>
  pattern.endsWith('*') ? channel.startsWith(pattern.slice(0, -1)) : pattern === channel

/**
 * Whether one of `patterns` covers `channel`. Undefined covers every channel, an empty list none.
 */
export const covers = (patterns: ChannelPatterns, channel: string): boolean =>
  patterns === undefined || patterns.some(pattern => matches(pattern, channel))

/** What the holder of a ticket may do on which channels. */
export interface Rights {
  /** The one channel a bound ticket opens. */
  readonly channel?: string | undefined
  readonly publish?: ChannelPatterns
  readonly subscribe?: ChannelPatterns
}

const reaches = (rights: Rights, channel: string): boolean =>
  rights.channel === undefined || rights.channel === channel

export const mayPublish = (rights: Rights, channel: string): boolean =>
  reaches(rights, channel) && covers(rights.publish, channel)

export const maySubscribe = (rights: Rights, channel: string): boolean =>
  reaches(rights, channel) && covers(rights.subscribe, channel)

/** Opening a channel requires the right to publish or to subscribe on it. */
export const mayOpen = (rights: Rights, channel: string): boolean =>
  mayPublish(rights, channel) || maySubscribe(rights, channel)

/** Whether `value` is a list of channel names and prefixes. */
export const isChannelPatterns = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every(entry => typeof entry === 'string' && isChannelPattern(entry))
