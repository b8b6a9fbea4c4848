import { randomUUID } from 'node:crypto'
import { link, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { errnoOf } from './errno.js'

/** How a lock is left in a directory: it appears in one step, together with the text in it. */
export interface LockMark {
  /** Leaves a mark with this text at `path`. Resolves with false if there is one already. */
  take(path: string, text: string): Promise<boolean>
  /** The text of the mark at `path`, or undefined if there is none. */
  holderOf(path: string): Promise<string | undefined>
}

/** A symbolic link whose target is the text, as in Emacs. It needs one step and no file. */
export const linkMark: LockMark = {
  take: (path, text) => unlessThere(symlink(text, path)),
  holderOf: path => ifThere(readlink(path)),
}

/** A file with the text, which gets its name once it is complete. */
export const fileMark: LockMark = {
  async take(path, text) {
    const complete = `${path}.${randomUUID()}`
    try {
      await writeFile(complete, text, { flag: 'wx', mode: 0o600 })
      return await unlessThere(link(complete, path))
    } finally {
      await rm(complete, { force: true })
    }
  },
  holderOf: path => ifThere(readFile(path, 'utf8')),
}

/** Windows lets only administrators, and users in developer mode, create symbolic links. */
export const ourMark = process.platform === 'win32' ? fileMark : linkMark

async function unlessThere(created: Promise<void>): Promise<boolean> {
  try {
    await created
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

async function ifThere(read: Promise<string>): Promise<string | undefined> {
  try {
    return await read
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
