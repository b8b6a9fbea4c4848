import { randomUUID } from 'node:crypto'
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { errnoOf } from './errno.js'

/** What the name of a temporary file has behind that of the file: others may keep files of their own there. */
const temporaryEnd = /^[0-9a-f-]{36}\.tmp$/

/**
 * Replaces a file in one step that survives a power cut: a reader sees the old text or the new one, whole. Mode 0600.
 * @param text all of it, or its parts one after another
 * @param check awaited just before the new text takes effect; may reject
 * @throws Error that says so when it was withdrawn between that and its last step
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
      throw errnoOf(error) === 'ENOENT' ? new Error(`another process took over ${path} meanwhile`) : error
    })
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/** Makes the names of new files in a directory survive a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/**
 * Withdraws all replacements of a file that have not taken effect: once this resolves, they never will. To be called
 * under the lock that they are made under, before the file is read: a process whose lock was broken may hang right after
 * its check, and its last step would come late.
 */
export async function cancelReplacements(path: string): Promise<void> {
  const directory = dirname(path)
  const prefix = `${basename(path)}.`
  for (const name of await readdir(directory))
    if (name.startsWith(prefix) && temporaryEnd.test(name.slice(prefix.length)))
      await rm(join(directory, name), { force: true })
}

/** What root writes must stay readable to the service: it belongs to whom the old file, or the directory, does. */
export async function keepOwner(file: FileHandle, path: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = await stat(path).catch(error => {
    if (errnoOf(error) === 'ENOENT') return stat(dirname(path))
    throw error
  })
  await file.chown(uid, gid)
}
