import { resolve } from 'node:path'
import type { Config } from '../config/schema.js'
import { keepDevelopmentSecret } from '../disk/development-secret.js'
import { looseModes, writableByOthers } from '../disk/loose-modes.js'
import { checkStateDirectory } from '../disk/state-dir.js'
import type { Log } from '../telemetry/log.js'

/**
 * Checks the files of a gate before anything is opened. Returns the configuration, with the token
 * secret of development if none is set.
 * @throws StartupError `state_directory_unavailable`
 */
export async function prepareStart(config: Config, log: Log): Promise<Config> {
  await checkStateDirectory(config.stateDir, log)
  warnOfLooseModes(config, log)
  return withDevelopmentSecret(config, keepDevelopmentSecret)
}

/** Adds the token secret of development to the configuration, if none is set. */
export async function withDevelopmentSecret(
  config: Config,
  find: (stateDir: string) => Promise<string | undefined>,
): Promise<Config> {
  if (config.production || config.jwtSecretGiven || config.login === 'off') return config
  const jwtSecret = await find(config.stateDir)
  return jwtSecret === undefined ? config : Object.freeze({ ...config, jwtSecret })
}

/**
 * Logs which files with secrets other users can access, and which files that decide who gets in they
 * can change.
 */
export function warnOfLooseModes(config: Config, log: Log): void {
  const { jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile, tlsKeyFile, usersFile } = config
  const { adminKeyFile, adminKeyPreviousFile, redisUrlFile, redisKeyFile, tunnelAssertionKeyFile } = config
  const secretsOfIssuers = config.issuers.flatMap(({ keys }) => (keys.from === 'secrets' ? keys.files : []))
  const files = [jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile, tlsKeyFile, usersFile]
    .concat(adminKeyFile, adminKeyPreviousFile, redisUrlFile, redisKeyFile, tunnelAssertionKeyFile)
    .filter(file => file !== undefined)
    .concat(secretsOfIssuers)
  for (const { path, mode } of looseModes(files))
    log.warn({ path: resolve(path), mode }, 'other users can access this file with secrets: chmod 600')
  const { issuersFile, originsFile, settingsFile } = config
  const rules = [issuersFile, originsFile, settingsFile].filter(file => file !== undefined)
  for (const { path, mode } of writableByOthers(rules))
    log.warn({ path: resolve(path), mode }, 'other users can change this file: chmod go-w')
}
