import { existsSync } from 'node:fs'
import { watchFile } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import { readUsersFile, type Users } from '../users/file.js'

export interface RemovedUsersParts {
  readonly path: string
  /** Revokes everything that was issued to a user until now, on all nodes. */
  readonly logOut: (user: string) => Promise<unknown>
  readonly log: Log
}

/**
 * Ends the sessions of users who are removed from the user file while the gate runs (OWASP ASVS 5.0,
 * 7.4.2). A file that is missing or broken removes nobody: it may be on its way to be replaced.
 */
export class RemovedUsers {
  readonly #parts: RemovedUsersParts
  readonly #end: () => void
  #known: Users
  #looking = Promise.resolve()

  private constructor(parts: RemovedUsersParts, known: Users) {
    this.#parts = parts
    this.#known = known
    this.#end = watchFile(parts.path, () => {
      this.#looking = this.#looking.then(() => this.#look())
    })
  }

  /** @throws StartupError `users_file_invalid` */
  static async watch(parts: RemovedUsersParts): Promise<RemovedUsers> {
    return new RemovedUsers(parts, await readUsersFile(parts.path))
  }

  close(): void {
    this.#end()
  }

  async #look(): Promise<void> {
    const { path, logOut, log } = this.#parts
    // What is wrong with a broken file is logged by the login.
    const users = await readUsersFile(path).catch(() => undefined)
    if (users === undefined || (users.size === 0 && !existsSync(path))) return
    const removed = [...this.#known.keys()].filter(name => !users.has(name))
    this.#known = users
    log.info({ users: users.size, removed: removed.length }, 'user file reread')
    for (const user of removed)
      try {
        await logOut(user)
      } catch (error) {
        log.error(
          { err: error, user },
          'the sessions of a removed user could not be ended: call POST /disconnect',
        )
      }
  }
}
