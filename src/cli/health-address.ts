import { resolvePart } from '../config/resolve-part.js'
import { StartupError } from '../errors.js'
import { urlOf } from '../http/url.js'

type Environment = Readonly<Record<string, string | undefined>>

/** The address of a server with these settings. */
export interface ConfiguredAddress {
  readonly url: string
  readonly stateDir: string
  /** Whether flags affected the URL. */
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

/**
 * The address of a server without flags. Undefined if the environment is not valid for a server.
 */
export function urlByEnvironment(env: Environment): string | undefined {
  try {
    return configuredAddress(env, []).url
  } catch (error) {
    if (error instanceof StartupError) return undefined
    throw error
  }
}
