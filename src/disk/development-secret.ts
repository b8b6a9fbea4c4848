import { randomBytes } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from './errno.js'
import { withLock } from './lock.js'
import { replaceFile } from './replace-file.js'

const leastBytes = 32

/**
 * Returns the token secret of development. Keeps it in the state directory (mode 0600), so that a
 * restart logs nobody out. Returns undefined if it can be neither read nor written.
 */
export async function keepDevelopmentSecret(stateDir: string): Promise<string | undefined> {
  const path = pathIn(stateDir)
  const kept = await readSecret(path)
  if (kept !== undefined) return kept
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 })
    return await withLock(`${path}.lock`, async check => {
      // Another process may have been faster.
      const found = await readSecret(path)
      if (found !== undefined) return found
      const secret = randomBytes(48).toString('base64')
      await replaceFile(path, `${secret}\n`, check)
      return secret
    })
  } catch (error) {
    errnoOf(error)
    return undefined
  }
}

/** Returns the secret if it is kept there already. */
export const readDevelopmentSecret = (stateDir: string): Promise<string | undefined> =>
  readSecret(pathIn(stateDir))

const pathIn = (stateDir: string): string => join(stateDir, 'development-secret')

async function readSecret(path: string): Promise<string | undefined> {
  try {
    const secret = (await readFile(path, 'utf8')).trim()
    return Buffer.byteLength(secret) >= leastBytes ? secret : undefined
  } catch (error) {
    errnoOf(error)
    return undefined
  }
}
