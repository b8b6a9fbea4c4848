import { join } from 'node:path'
import { StartupError } from '../errors.js'
import {
  checkAdminKey,
  checkEgressProxy,
  checkPorts,
  checkProvider,
  checkRedis,
  checkThreads,
  checkTicketKeys,
  checkTls,
  checkTokenTtl,
  resolveSecret,
} from './checks.js'
import { connectionsWithin, descriptorLimit, maxUnidentified } from './descriptors.js'
import { type Config, definition, type Property, properties, type Values } from './schema.js'
import {
  type ConfigSources,
  type Given,
  type GivenMap,
  givenByEnv,
  givenByFlags,
  givenByOptions,
  settleSecret,
} from './sources.js'
import { reportUnfit, Unfit } from './value-types.js'

/** The value of one option. One that does not fit is reported, and counts as not given from there on. */
function parseOne(property: Property, given: Given | undefined, problems: string[]): unknown {
  const { kind, secret, mending, default: otherwise } = definition(property)
  if (given !== undefined) {
    try {
      const text = typeof given.value === 'string' ? given.value : kind.textOf?.(given.value)
      if (text === undefined) throw new Unfit(`is of the wrong type: give ${kind.values}`)
      return kind.parse(secret ? text : text.trim())
    } catch (error) {
      reportUnfit(error, given.label, problems, mending)
    }
  }
  return otherwise === undefined ? undefined : kind.parse(otherwise)
}

const parseAll = (given: GivenMap, problems: string[]): Values => {
  const entries = properties.map(property => [property, parseOne(property, given.get(property), problems)])
  return Object.fromEntries(entries)
}

/** What looks like `production` and is not would start a server that checks nothing of what production demands. */
function checkNodeEnv({ NODE_ENV: name = '' }: ConfigSources['env'], problems: string[]): void {
  if (name !== 'production' && /^\s*prod(?:uction)?\s*$/i.test(name))
    problems.push(`NODE_ENV is ${JSON.stringify(name)}: write it as "production", or leave it out`)
}

/**
 * The configuration, from all sources: options before flags before environment before defaults. An empty text counts
 * as not given. Reads the files that options name.
 *
 * @throws StartupError `config_invalid` with all problems, one a line, each with the name under which the value was
 *   given, what is wrong and how to mend it. No value of a secret is part of it.
 */
export function resolveConfig({ env, flags = [], options = {}, handlerNames }: ConfigSources): Config {
  const problems: string[] = []
  const sources = [
    givenByOptions(options, problems, handlerNames),
    givenByFlags(flags, problems),
    givenByEnv(env, problems),
  ] as const
  settleSecret('jwtSecret', 'jwtSecretFile', sources, problems)
  settleSecret('ticketKeys', 'ticketKeysFile', sources, problems)
  const [byOptions, byFlags, byEnv] = sources
  const given: GivenMap = new Map([...byEnv, ...byFlags, ...byOptions])
  const production = env.NODE_ENV === 'production'

  const all = parseAll(given, problems)
  checkNodeEnv(env, problems)
  checkTls(given, all, problems)
  checkPorts(all, problems)
  checkAdminKey(given, all, production, problems)
  checkTokenTtl(given, all, problems)
  checkProvider(given, all, production, problems)
  checkEgressProxy(given, env, problems)
  const jwtSecret = resolveSecret(given, all, production, problems)
  checkTicketKeys(given, all, jwtSecret, problems)
  checkRedis(given, all, problems)
  checkThreads(given, all, problems)
  if (problems.length > 0) throw new StartupError('config_invalid', problems.join('\n'))

  const { jwtSecretFile: _, ...values } = all
  return Object.freeze({
    ...values,
    production,
    jwtSecret,
    console: values.console ?? (production ? 'off' : 'on'),
    replay: values.replay ?? (values.threads > 1 ? 'shared' : 'memory'),
    tokenTtlSeconds: values.tokenTtlSeconds ?? Math.min(900, values.tokenMaxTtlSeconds),
    usersFile: values.usersFile ?? join(values.stateDir, 'users.json'),
    maxConnections:
      values.maxConnections ??
      connectionsWithin(descriptorLimit(), values.firstMessageSeconds > 0 ? maxUnidentified : 0),
    // A limit below one message is allowed: uWS compares it with what already waits, so a reader that keeps up still
    // gets every message. By default one whole message may wait.
    maxBackpressureBytes: values.maxBackpressureBytes ?? Math.max(65_536, values.maxMessageBytes),
  })
}
