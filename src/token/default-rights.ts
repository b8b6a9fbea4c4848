import { isChannelName, isChannelPattern } from '../protocol.js'
import type { DefaultRights } from './token-rights.js'

const userPlaceholder = '${user}'

/** Whether `template` is a channel pattern once `${user}` in it is replaced by a channel name. */
export const isPatternTemplate = (template: string): boolean =>
  isChannelPattern(template.replaceAll(userPlaceholder, 'u'))

/**
 * The rights of users whose token does not say which they have.
 * @param publish channel patterns, in which `${user}` stands for the user
 * @param subscribe the same
 */
export const defaultRightsOf =
  (publish: readonly string[], subscribe: readonly string[]): DefaultRights =>
  user => ({ publish: patternsFor(user, publish), subscribe: patternsFor(user, subscribe) })

/** A user whose name is not a channel name, or is too long for one, gets nothing from a pattern that names the user. */
const patternsFor = (user: string, templates: readonly string[]): readonly string[] =>
  templates.flatMap(template => {
    if (!template.includes(userPlaceholder)) return [template]
    const pattern = template.replaceAll(userPlaceholder, user)
    return isChannelName(user) && isChannelPattern(pattern) ? [pattern] : []
  })
