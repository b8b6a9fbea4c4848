import { type FileStates, lookAt, watchFile } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import { readUsersFile, readUsersFileIfPresent, type Users } from '../users/file.js'

export type LogOut = (user: string) => Promise<unknown>

export interface RemovedUsersParts {
  readonly path: string
  readonly log: Log
}

/**
 * Ends the sessions of users who are removed from the user file while the gate runs (OWASP ASVS
 * 5.0, 7.4.2). A file that is missing or broken removes nobody: it may be about to be replaced.
 */
export class RemovedUsers {
  readonly #parts: RemovedUsersParts
  readonly #since: FileStates
  #known: Users
  #looking = Promise.resolve()

  private constructor(parts: RemovedUsersParts, since: FileStates, known: Users) {
    this.#parts = parts
    this.#since = since
    this.#known = known
  }

  /** @throws StartupError `users_file_invalid` */
  static async open(parts: RemovedUsersParts): Promise<RemovedUsers> {
    const since = lookAt([parts.path])
    return new RemovedUsers(parts, since, await readUsersFile(parts.path))
  }

  /**
   * Watches the file, for changes since it was opened.
   * @param logOut revokes everything that was issued to a user until now, on all nodes
   */
  watch(logOut: LogOut): { close(): void } {
    const onChange = (): void => {
      this.#looking = this.#looking.then(() => this.#look(logOut))
    }
    return { close: watchFile(this.#parts.path, onChange, this.#since) }
  }

  async #look(logOut: LogOut): Promise<void> {
    const { path, log } = this.#parts
    let users: Users | undefined
    try {
      users = await readUsersFileIfPresent(path)
    } catch (error) {
      log.error({ err: error }, 'the user file is broken: no sessions end')
      return
    }
    if (users === undefined) return log.info('there is no user file: no sessions end')
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
