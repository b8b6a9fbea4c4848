import type { Config } from './schema.js'

/**
 * The files that are reread when they change and on SIGHUP: secrets, keys, issuers, origins,
 * users, settings and the certificate.
 */
export function watchedFiles(config: Config): readonly string[] {
  const { issuersFile, issuers, jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile } = config
  const { tlsCertFile, tlsKeyFile, adminKeyFile, adminKeyPreviousFile, originsFile } = config
  const { settingsFile } = config
  const files = new Set([issuersFile, jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile])
  for (const file of [tlsCertFile, tlsKeyFile, adminKeyFile, adminKeyPreviousFile, originsFile, settingsFile])
    files.add(file)
  if (config.login === 'on') files.add(config.usersFile)
  for (const { keys } of issuers)
    for (const file of 'files' in keys ? keys.files : [keys.caFile]) files.add(file)
  return [...files].filter(file => file !== undefined)
}
