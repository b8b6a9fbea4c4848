import { resolvePart } from '../config/resolve-part.js'
import { StartupError } from '../errors.js'
import { urlOf } from '../http/url.js'

type Environment = Readonly<Record<string, string | undefined>>

/** Where a server listens that is given these settings. */
export interface ConfiguredAddress {
  readonly url: string
  readonly stateDir: string
  /** Whether flags had a part in the URL. */
  readonly isByFlag: boolean
}

/** @throws StartupError `config_invalid` */
export function configuredAddress(env: Environment, flags: readonly string[]): ConfiguredAddress {
  const { values, givenAs } = resolvePart(['host', 'port', 'stateDir'], { env, flags })
  const scheme = givenAs('tlsCertFile') === undefined ? 'http' : 'https'
  return {
    url: urlOf(scheme, values.host, values.port),
    stateDir: values.stateDir,
    isByFlag: (['host', 'port', 'tlsCertFile'] as const).some(name => givenAs(name)?.startsWith('--')),
  }
}

/** Where a server listens that is given no flags; undefined where there can be no such server. */
export function urlByEnvironment(env: Environment): string | undefined {
  try {
    return configuredAddress(env, []).url
  } catch (error) {
    if (error instanceof StartupError) return undefined
    throw error
  }
}
