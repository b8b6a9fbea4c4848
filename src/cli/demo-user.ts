import { randomBytes } from 'node:crypto'
import { accessFacts } from '../disk/access.js'
import { errnoOf } from '../disk/errno.js'
import { StartupError } from '../errors.js'
import { createPasswordHasher } from '../users/password.js'
import { openUserStore, updateUsers } from '../users/store.js'

const demoName = 'maggie'

/** The user in the development banner. */
export interface ExampleUser {
  readonly name: string
  /** Set if the user was created just now. Only the hash is stored. */
  readonly password: string | undefined
}

/**
 * Returns a user to try things with: a new one if there are no users, else an existing one.
 * @throws StartupError `users_file_invalid`
 */
export async function exampleUser(usersFile: string): Promise<ExampleUser> {
  const names = (await (await openUserStore(usersFile)).list()).map(({ name }) => name)
  return existing(names) ?? make(usersFile)
}

function existing(names: readonly string[]): ExampleUser | undefined {
  const name = names.includes(demoName) ? demoName : names[0]
  return name === undefined ? undefined : { name, password: undefined }
}

async function make(usersFile: string): Promise<ExampleUser> {
  const password = randomBytes(12).toString('base64url')
  const passwordHash = await createPasswordHasher({ concurrency: 1, queueLimit: 1 }).hash(password)
  let found: ExampleUser | undefined
  try {
    await updateUsers(usersFile, users => {
      // Another start in the same directory may have been faster.
      found = existing([...users.keys()])
      if (found === undefined) users.set(demoName, { name: demoName, passwordHash })
    })
  } catch (error) {
    throw new StartupError(
      'users_file_invalid',
      `The user file ${usersFile} cannot be written (${errnoOf(error)}): ${accessFacts(usersFile)}. Make its directory writable, or set TICKETGATE_STATE_DIR.`,
      { cause: error },
    )
  }
  return found ?? { name: demoName, password }
}
