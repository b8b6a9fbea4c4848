import type { Config } from '../config/schema.js'
import { readAdminKey, strongEnough } from '../config/secret-file.js'
import { watchFiles } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'

type Files = Pick<
  Config,
  'adminKey' | 'adminKeyFile' | 'adminKeyPrevious' | 'adminKeyPreviousFile' | 'production'
>

/**
 * The keys that the admin listener accepts: the current one and, during a rotation, the previous
 * one. Their files are reread when they change and on SIGHUP; a broken file changes nothing and is
 * logged.
 */
export class AdminKeys {
  readonly #config: Files
  readonly #log: Log
  readonly #end: () => void
  #current: readonly string[]

  constructor(config: Files, log: Log) {
    this.#config = config
    this.#log = log
    this.#current = given(config.adminKey, config.adminKeyPrevious)
    const files = given(config.adminKeyFile, config.adminKeyPreviousFile)
    this.#end = files.length === 0 ? () => {} : watchFiles(files, () => this.#reload())
  }

  /** The keys, a new list after every change. Empty if no key is required. */
  get current(): readonly string[] {
    return this.#current
  }

  close(): void {
    this.#end()
  }

  #reload(): void {
    const { adminKey, adminKeyFile, adminKeyPrevious, adminKeyPreviousFile } = this.#config
    const read = (file: string): string => strongEnough(this.#config, readAdminKey(file), file)
    try {
      this.#current = given(
        adminKeyFile === undefined ? adminKey : read(adminKeyFile),
        adminKeyPreviousFile === undefined ? adminKeyPrevious : read(adminKeyPreviousFile),
      )
      this.#log.info({ keys: this.#current.length }, 'admin keys reloaded')
    } catch (error) {
      this.#log.error({ err: error }, 'the file of an admin key is broken: the previous keys stay in use')
    }
  }
}

const given = (...values: readonly (string | undefined)[]): string[] =>
  values.filter(value => value !== undefined)
