import { join } from 'node:path'
import { StartupError } from '../errors.js'
import {
  checkAdminKey,
  checkAssertionKey,
  checkPorts,
  checkRedis,
  checkThreads,
  checkTicketKeys,
  checkTls,
  checkTokenTtl,
} from './checks.js'
import { connectionsWithin, descriptorLimit, maxUnidentified } from './descriptors.js'
import { resolveIdentity } from './identity.js'
import { readSettingsInto, resolveFailureRate } from './live-settings.js'
import { readOriginsText } from './origins-file.js'
import { parseOption } from './parse-option.js'
import { type Config, properties, type Values } from './schema.js'
import {
  type ConfigSources,
  type GivenMap,
  givenByEnv,
  givenByFlags,
  givenByOptions,
  readIntoGiven,
  resolveEither,
} from './sources.js'

const parseAll = (given: GivenMap, production: boolean, problems: string[]): Values => {
  const entries = properties.map(property => [
    property,
    parseOption(property, given.get(property), production, problems),
  ])
  return Object.fromEntries(entries)
}

/** With a misspelt `production`, a server would start without the checks of production. */
function checkNodeEnv({ NODE_ENV: name = '' }: ConfigSources['env'], problems: string[]): void {
  if (name !== 'production' && /^[\s\uFEFF'"]*prod(?:uction)?[\s'"]*$/i.test(name))
    problems.push(`NODE_ENV is ${JSON.stringify(name)}: write it as "production", or leave it out`)
}

/** Secrets that are read from their files here. The code that uses the others reads them itself. */
const readAtOnce = [
  ['adminKey', 'adminKeyFile'],
  ['adminKeyPrevious', 'adminKeyPreviousFile'],
  ['redisUrl', 'redisUrlFile'],
] as const

/**
 * Resolves the configuration from all sources: options override flags, flags override the
 * environment, and that overrides defaults. An empty text counts as not given. Reads the files that
 * options name.
 *
 * @throws StartupError `config_invalid` with all problems, one per line: the name under which the
 * value was given, what is wrong, and how to fix it. Never with the value of a secret.
 */
export function resolveConfig({ env, flags = [], options = {}, handlerNames }: ConfigSources): Config {
  const problems: string[] = []
  const sources = [
    givenByOptions({ ...options }, problems, handlerNames),
    givenByFlags(flags, problems),
    givenByEnv(env, problems),
  ] as const
  resolveEither('jwtSecret', 'jwtSecretFile', sources, problems)
  resolveEither('jwtSecretPrevious', 'jwtSecretPreviousFile', sources, problems)
  resolveEither('ticketKeys', 'ticketKeysFile', sources, problems)
  for (const [property, file] of readAtOnce) resolveEither(property, file, sources, problems)
  resolveEither('origins', 'originsFile', sources, problems)
  const [byOptions, byFlags, byEnv] = sources
  const given: GivenMap = new Map([...byEnv, ...byFlags, ...byOptions])
  for (const [property, file] of readAtOnce) readIntoGiven(given, property, file, problems)
  readIntoGiven(given, 'origins', 'originsFile', problems, readOriginsText)
  const settingsElsewhere = readSettingsInto(given, problems)
  const production = env.NODE_ENV === 'production'

  const values = parseAll(given, production, problems)
  checkNodeEnv(env, problems)
  checkTls(given, values, problems)
  checkPorts(values, problems)
  checkAdminKey(given, values, production, problems)
  checkTokenTtl(given, values, problems)
  const identity = resolveIdentity({ given, values, env, production, problems })
  checkTicketKeys(given, values, identity.jwtSecret, problems)
  checkRedis(given, values, problems)
  checkThreads(given, values, problems)
  checkAssertionKey(given, values, identity, problems)
  if (problems.length > 0) throw new StartupError('config_invalid', problems.join('\n'))

  const maxConnectionsByDefault =
    values.maxConnections === undefined || values.settingsFile !== undefined
      ? connectionsWithin(descriptorLimit(), {
          countedApart: values.firstMessageSeconds > 0 ? maxUnidentified : 0,
          hasTunnels: values.tunnels.length > 0,
        })
      : values.maxConnections

  return Object.freeze({
    ...values,
    ...identity,
    production,
    settingsElsewhere,
    replay: values.replay ?? defaultReplay(values),
    // Fewer than 100 in any hour (OWASP ASVS 2.2.1).
    loginFailureRate: resolveFailureRate(given, values),
    tokenTtlSeconds: values.tokenTtlSeconds ?? Math.min(900, values.tokenMaxTtlSeconds),
    usersFile: values.usersFile ?? join(values.stateDir, 'users.json'),
    maxConnections: values.maxConnections ?? maxConnectionsByDefault,
    maxConnectionsByDefault,
    // Limits below one message are allowed: uWS compares the limit with what is waiting already, so
    // a reader that keeps up still gets every message. By default, one whole message may wait.
    maxBackpressureBytes: values.maxBackpressureBytes ?? Math.max(65_536, values.maxMessageBytes),
  })
}

/**
 * `shared` is the fastest for one thread too, and its memory is fixed. But it keeps every ticket of
 * an outside minter for an hour or two, so a single thread that serves such tickets can hold more
 * of them with `memory`.
 */
const defaultReplay = ({ threads, ticketKeys, ticketKeysFile }: Values): Config['replay'] =>
  threads === 1 && (ticketKeys ?? ticketKeysFile) !== undefined ? 'memory' : 'shared'
