import { readFile } from 'node:fs/promises'
import { accessFacts } from '../disk/access.js'
import { errnoOf } from '../disk/errno.js'
import { StartupError } from '../errors.js'
import { isChannelPattern, isJsonObject, isUserName } from '../protocol.js'
import { passwordHashFault } from './phc.js'
import { type ChannelRights, channelPatternRule, preparedName, type User, userNameRule } from './user.js'

/** Users by name. A Map, so that `__proto__` is a name like any other. */
export type Users = Map<string, User>

/**
 * Reads a user file: a JSON object of name → `{passwordHash, channels?: {publish?, subscribe?}}`. A
 * missing file has no users. Names are normalised to NFC.
 * @throws StartupError `users_file_invalid` for anything else
 */
export async function readUsersFile(path: string): Promise<Users> {
  return (await readUsersFileIfPresent(path)) ?? new Map()
}

/**
 * Like {@link readUsersFile}, but returns undefined for a missing file. To look for the file in a
 * second step would be a race: a file that returns in between would seem to have lost its users.
 */
export async function readUsersFileIfPresent(path: string): Promise<Users | undefined> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'ENOENT') return undefined
    throw invalid(path, `it cannot be read (${code})`, `${accessFacts(path)}.`)
  }
  const parsed = parseUsers(bytes)
  if (typeof parsed !== 'string') return parsed
  throw invalid(path, parsed, 'Fix it or restore a backup: ticketgate does not overwrite it.')
}

/**
 * Returns the text of a user file.
 * @throws TypeError for users that could not be read back
 */
export function formatUsers(users: Users): string {
  const entries = [...users].map(([name, user]) => {
    if (user.name !== name) throw new TypeError(`user ${JSON.stringify(user.name)} is under another name`)
    const { passwordHash, channels } = user
    return [name, { passwordHash, channels }] as const
  })
  // fromEntries defines properties. Assigning to `__proto__` would lose that user.
  const text = `${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`
  const parsed = parseUsers(Buffer.from(text))
  if (typeof parsed === 'string') throw new TypeError(`these users cannot be saved: ${parsed}`)
  return text
}

/**
 * Returns the users, or what is wrong. The reason never quotes the file, which contains hashes.
 */
function parseUsers(bytes: Uint8Array): Users | string {
  if (bytes.length === 0) return 'it is empty (to start without users, remove it)'
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    const position = error instanceof SyntaxError ? /at position \d+/.exec(error.message)?.[0] : undefined
    return position ? `it is not JSON (${position})` : 'it is not JSON in UTF-8'
  }
  if (!isJsonObject(json)) return 'it is not a JSON object of users'
  const users: Users = new Map()
  for (const [name, value] of Object.entries(json)) {
    if (!isUserName(name)) return `name ${users.size + 1} is not ${userNameRule}`
    const prepared = preparedName(name)
    if (users.has(prepared)) return `the name ${JSON.stringify(prepared)} occurs twice, in two Unicode forms`
    const user = parseUser(prepared, value)
    if (typeof user === 'string') return `user ${JSON.stringify(name)}: ${user}`
    users.set(prepared, user)
  }
  return users
}

function parseUser(name: string, value: unknown): User | string {
  if (!isJsonObject(value)) return 'is not a JSON object'
  const { passwordHash, channels, ...others } = value
  // A misspelt `channels` would grant every right.
  if (Object.keys(others).length > 0) return 'has members other than passwordHash and channels'
  if (typeof passwordHash !== 'string') return 'has no passwordHash'
  const fault = passwordHashFault(passwordHash)
  if (fault) return `passwordHash ${fault}`
  if (channels === undefined) return { name, passwordHash }
  return isChannelRights(channels)
    ? { name, passwordHash, channels }
    : `channels is not {publish: [...], subscribe: [...]}, each a list of: ${channelPatternRule}`
}

function isChannelRights(value: unknown): value is ChannelRights {
  if (!isJsonObject(value)) return false
  return Object.entries(value).every(
    ([key, patterns]) =>
      (key === 'publish' || key === 'subscribe') &&
      Array.isArray(patterns) &&
      patterns.every(pattern => typeof pattern === 'string' && isChannelPattern(pattern)),
  )
}

function invalid(path: string, reason: string, advice: string): StartupError {
  return new StartupError('users_file_invalid', `The user file ${path} is invalid: ${reason}. ${advice}`)
}
