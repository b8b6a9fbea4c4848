import { randomBytes } from 'node:crypto'
import { errnoOf } from '../disk/errno.js'
import { StartupError } from '../errors.js'
import { createPasswordHasher } from '../users/password.js'
import { openUserStore, updateUsers } from '../users/store.js'

/** The user that a first start in development makes. */
export const demoUser = 'maggie'

/**
 * Makes the demo user when there is no user at all. Answers its password, this once: only the hash is kept.
 * @throws StartupError `users_file_invalid`
 */
export async function createDemoUser(usersFile: string): Promise<string | undefined> {
  const store = await openUserStore(usersFile)
  if ((await store.list()).length > 0) return undefined
  const password = randomBytes(12).toString('base64url')
  const passwordHash = await createPasswordHasher({ concurrency: 1, queueLimit: 1 }).hash(password)
  try {
    await updateUsers(usersFile, users => users.set(demoUser, { name: demoUser, passwordHash }))
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new StartupError(
      'users_file_invalid',
      `The user file ${usersFile} can not be written (${errno}). Make its directory writable, or set TICKETGATE_STATE_DIR.`,
      { cause: error },
    )
  }
  return password
}
