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
  /** In the order of their names. */
  list(): Promise<readonly User[]>
}

export interface UserStoreOptions {
  /** Told once per broken version of the file, with a message fit for the log. */
  readonly onError?: (error: Error) => void
}

/**
 * Opens a user file; a missing one holds nobody. Every question looks whether the file has changed on disk,
 * so `user add` and `user remove` count at once. A file broken meanwhile changes nothing.
 * Rejects with `StartupError('users_file_invalid')` when the file is broken now.
 */
export async function openUserStore(path: string, options: UserStoreOptions = {}): Promise<UserStore> {
  let seen = await versionOf(path)
  let users = await readUsersFile(path)
  let reloading = Promise.resolve()

  async function reload(): Promise<void> {
    // Taken before reading: a change in between makes the next question read again.
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
      // One after another, so that many questions at once read a changed file once.
      reloading = reloading.then(reload, reload)
      await reloading
    }
    return users
  }

  return {
    find: async name => (await current()).get(preparedName(name)),
    list: async () => [...(await current()).values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

/**
 * Changes a user file: reads, lets `change` alter the map, and replaces the file in one step (mode 0600, its
 * directory made with 0700 where missing). Of changes at the same time, in any process, none is lost.
 * Writes nothing when `change` throws, or when the file is broken (`StartupError('users_file_invalid')`).
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

/** What changes whenever the file does; ctime too, so that fixed permissions count as a change. */
async function versionOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join()
  } catch (error) {
    return errnoOf(error)
  }
}

/** The file behind a symbolic link, so that replacing it keeps the link. */
async function resolve(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return path
    throw error
  }
}
