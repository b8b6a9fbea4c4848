import { type LiveSettings, liveProperties, rereadSettings } from '../config/live-settings.js'
import { type Config, variableOf } from '../config/schema.js'
import { lookAt, watchFile } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'

export interface WatchedSettingsParts {
  readonly config: Config
  /** The log, whose level is one of the settings. */
  readonly log: Log
  /** Applies the other settings. */
  readonly apply: (settings: LiveSettings) => void
}

/**
 * The settings of one thread that can change without a restart. Their file is reread when it
 * changes and on SIGHUP; a broken file changes nothing and is logged.
 */
export class WatchedSettings {
  readonly #parts: WatchedSettingsParts
  readonly #end: () => void
  #current: LiveSettings

  constructor(parts: WatchedSettingsParts) {
    const { settingsFile: file } = parts.config
    this.#parts = parts
    this.#current = parts.config
    const since = file === undefined ? undefined : lookAt([file])
    // The file may have changed since the configuration was read.
    if (file !== undefined) this.#reload(file, 'start')
    this.#end = file === undefined ? () => {} : watchFile(file, () => this.#reload(file), since)
  }

  get current(): LiveSettings {
    return this.#current
  }

  close(): void {
    this.#end()
  }

  #reload(file: string, when?: 'start'): void {
    const { config, log, apply } = this.#parts
    try {
      const settings = rereadSettings(file, config)
      const changed = changesOf(this.#current, settings)
      if (when === 'start' && Object.keys(changed).length === 0) return
      this.#current = settings
      log.level = settings.logLevel
      apply(settings)
      // Logged at any level, and once they are in force.
      log.child({}, { level: 'info' }).info({ changed }, 'settings read again')
    } catch (error) {
      log.error({ err: error }, 'the settings file is broken; the previous settings stay in use')
    }
  }
}

/** The changed settings, by the names of their variables, as an operator would write them. */
function changesOf(from: LiveSettings, to: LiveSettings): Readonly<Record<string, string>> {
  const changed = liveProperties.filter(property => textOf(from[property]) !== textOf(to[property]))
  return Object.fromEntries(changed.map(property => [variableOf(property), textOf(to[property])]))
}

const textOf = (value: LiveSettings[keyof LiveSettings]): string =>
  value === undefined ? 'off' : typeof value === 'object' ? `${value.count}/${value.seconds}` : `${value}`
