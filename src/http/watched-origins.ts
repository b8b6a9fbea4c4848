import { atStart } from '../config/at-start.js'
import { readOrigins } from '../config/origins-file.js'
import type { Config } from '../config/schema.js'
import { lookAt, watchFile } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import { createOriginPolicy, type OriginPolicy } from './origins.js'

/**
 * The origins that may use this server. Their file is read again when it changes and on SIGHUP; a
 * broken one changes nothing and is logged. Sockets that are open stay.
 */
export class WatchedOrigins implements OriginPolicy {
  readonly #config: Pick<Config, 'origins' | 'originsFile' | 'production'>
  readonly #log: Log
  readonly #end: () => void
  #policy: OriginPolicy

  /** @throws StartupError `config_invalid` for a broken file */
  constructor(config: Pick<Config, 'origins' | 'originsFile' | 'production'>, log: Log) {
    const { originsFile } = config
    this.#config = config
    this.#log = log
    if (originsFile === undefined) {
      this.#policy = createOriginPolicy(config)
      this.#end = () => {}
      return
    }
    const since = lookAt([originsFile])
    this.#policy = createOriginPolicy({ ...config, origins: atStart(() => readOrigins(originsFile)) })
    this.#end = watchFile(originsFile, () => this.#reload(originsFile), since)
  }

  allows(origin: string, own: () => string): boolean {
    return this.#policy.allows(origin, own)
  }

  close(): void {
    this.#end()
  }

  #reload(file: string): void {
    try {
      const origins = readOrigins(file)
      this.#policy = createOriginPolicy({ origins, production: this.#config.production })
      this.#log.info({ origins: origins.length }, 'origins read again')
    } catch (error) {
      this.#log.error({ err: error }, 'the file of origins is broken; those read before stay')
    }
  }
}
