import { randomBytes } from 'node:crypto'
import { createPasswordHasher } from './password.js'
import { openUserStore, updateUsers } from './store.js'

/** The user that a first start in development makes. */
export const demoUser = 'maggie'

/**
 * Makes the demo user when there is no user at all. Answers its password, this once: only the hash is kept.
 */
export async function createDemoUser(usersFile: string): Promise<string | undefined> {
  const store = await openUserStore(usersFile)
  if ((await store.list()).length > 0) return undefined
  const password = randomBytes(12).toString('base64url')
  const passwordHash = await createPasswordHasher({ concurrency: 1, queueLimit: 1 }).hash(password)
  await updateUsers(usersFile, users => users.set(demoUser, { name: demoUser, passwordHash }))
  return password
}
