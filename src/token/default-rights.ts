import { isChannelName, isChannelPattern } from '../protocol.js'
import type { DefaultRights } from './token-rights.js'

const userPlaceholder = '${user}'

/** Whether `template` is a channel pattern if a channel name replaces `${user}` in it. */
export const isPatternTemplate = (template: string): boolean =>
  isChannelPattern(template.replaceAll(userPlaceholder, 'u'))

/**
 * Returns the rights of users whose tokens do not state any.
 * @param publish channel patterns, in which `${user}` stands for the user
 * @param subscribe likewise
 */
export const defaultRightsOf =
  (publish: readonly string[], subscribe: readonly string[]): DefaultRights =>
  user => ({ publish: patternsFor(user, publish), subscribe: patternsFor(user, subscribe) })

/**
 * Patterns with the user in them give nothing if the user name is not a channel name, or makes the
 * pattern too long.
 */
const patternsFor = (user: string, templates: readonly string[]): readonly string[] =>
  templates.flatMap(template => {
    if (!template.includes(userPlaceholder)) return [template]
    const pattern = template.replaceAll(userPlaceholder, user)
    return isChannelName(user) && isChannelPattern(pattern) ? [pattern] : []
  })
