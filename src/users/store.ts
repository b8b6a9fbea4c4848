// users/: the user file and its password hashes. It knows no HTTP and no tokens.

import { mkdir, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from '../disk/errno.js'
import { withLock } from '../disk/lock.js'
import { cancelReplacements, replaceFile } from '../disk/replace-file.js'
import { formatUsers, readUsersFile, type Users } from './file.js'
import { preparedName, type User } from './user.js'

/** The users of a file that may change at any time. */
export interface UserStore {
  find(name: string): Promise<User | undefined>
  /** Finds a user as of the last check of the file. */
  recall(name: string): User | undefined
  /** Sorted by name. */
  list(): Promise<readonly User[]>
}

export interface UserStoreOptions {
  /** Called once per broken version of the file, with a message for the log. */
  readonly onError?: (error: Error) => void
}

/**
 * Opens a user file. A missing file has no users. Every `find` checks whether the file has changed
 * on disk, so `user add` and `user remove` take effect at once. If the file breaks later, the users
 * stay as they were.
 * @throws StartupError `users_file_invalid` if the file is broken now
 */
export async function openUserStore(path: string, options: UserStoreOptions = {}): Promise<UserStore> {
  let seen = await versionOf(path)
  let users = await readUsersFile(path)
  let reloading = Promise.resolve()

  async function reload(): Promise<void> {
    // Taken before reading: after a change in between, the next lookup reads again.
    const version = await versionOf(path)
    if (version === seen) return
    try {
      users = await readUsersFile(path)
    } catch (error) {
      if (error instanceof Error) options.onError?.(error)
    } finally {
      seen = version
    }
  }

  async function current(): Promise<Users> {
    if ((await versionOf(path)) !== seen) {
      // One after another, so that concurrent lookups read a changed file once.
      reloading = reloading.then(reload, reload)
      await reloading
    }
    return users
  }

  return {
    find: async name => (await current()).get(preparedName(name)),
    recall: name => users.get(preparedName(name)),
    list: async () => [...(await current()).values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

/**
 * Changes a user file: reads it, lets `change` modify the map, and replaces it in one step (mode
 * 0600; a missing directory is created with 0700). Concurrent changes of any process are all kept.
 * Writes nothing if `change` throws.
 * @throws StartupError `users_file_invalid` if the file is broken
 */
export async function updateUsers(path: string, change: (users: Users) => void): Promise<void> {
  const file = await resolve(path)
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  await withLock(`${file}.lock`, async check => {
    await cancelReplacements(file)
    const users = await readUsersFile(file)
    change(users)
    await replaceFile(file, formatUsers(users), check)
  })
}

/**
 * Returns a text that changes whenever the file does. It includes ctime, so a change of permissions
 * counts, too.
 */
async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join()
  } catch (error) {
    return errnoOf(error)
  }
}

/** The target of a symbolic link, so that replacing the file keeps the link. */
async function resolve(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return path
    throw error
  }
}
