import type { Config } from './schema.js'

/** Files of secrets, keys and issuers: they are read again when they change, and on SIGHUP. */
export function watchedFiles(config: Config): readonly string[] {
  const { issuersFile, issuers, jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile } = config
  const files = new Set([issuersFile, jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile])
  for (const { keys } of issuers)
    for (const file of 'files' in keys ? keys.files : [keys.caFile]) files.add(file)
  return [...files].filter(file => file !== undefined)
}
