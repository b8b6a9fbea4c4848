import { randomUUID } from 'node:crypto'
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { errnoOf } from './errno.js'

/**
 * The end of a temporary file's name. Other programs may keep files of their own in the directory.
 */
const temporaryEnd = /^[0-9a-f-]{36}\.tmp$/

/**
 * Replaces a file in one step that survives a power cut: a reader sees the old text or the new one,
 * whole. The new file has mode 0600.
 * @param text the text, or its parts in order
 * @param check awaited just before the new text takes effect; may reject
 * @throws Error if another process cancelled the replacement before its last step
 */
export async function replaceFile(
  path: string,
  text: string | Iterable<string>,
  check: () => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await keepOwner(file, path)
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await check()
    await rename(temporary, path).catch(error => {
      throw errnoOf(error) === 'ENOENT'
        ? new Error(`another process took over ${path} in the meantime`)
        : error
    })
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/**
 * Makes new names in a directory survive a power cut. Does nothing on Windows, where a directory
 * cannot be synced (EPERM).
 */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Cancels all replacements of a file that have not taken effect. Once this resolves, they never
 * will. Call it under the lock of the replacements, before reading the file: a process whose lock
 * was broken may hang right after its check, and take its last step late.
 */
export async function cancelReplacements(path: string): Promise<void> {
  const directory = dirname(path)
  const prefix = `${basename(path)}.`
  for (const name of await readdir(directory))
    if (name.startsWith(prefix) && temporaryEnd.test(name.slice(prefix.length)))
      await rm(join(directory, name), { force: true })
}

/**
 * Gives files that root writes to the owner of the old file, or of the directory, so that the
 * service can read them.
 */
export async function keepOwner(file: FileHandle, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(path).catch(error => {
    if (errnoOf(error) === 'ENOENT') return stat(dirname(path))
    throw error
  })
  await file.chown(uid, gid)
}
