import { lutimesSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import type { Test } from 'tap'

/** An operation that hangs until it is released. */
interface Hung {
  readonly begun: Promise<void>
  release(): void
}

function hang(): Hung & { begin(): void; readonly released: Promise<void> } {
  let begin = (): void => {}
  let release = (): void => {}
  const begun = new Promise<void>(resolve => {
    begin = resolve
  })
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  return { begun, begin: () => begin(), released, release: () => release() }
}

/**
 * Makes the next rename onto `path` hang until it is released, like a disk that does not respond.
 */
export function hangNextRename(t: Test, path: string): Hung {
  const { rename } = fs
  const restore = (): void => {
    fs.rename = rename
    syncBuiltinESMExports()
  }
  t.teardown(restore)
  const hung = hang()
  fs.rename = async (from, to) => {
    if (to !== path) return rename(from, to)
    restore()
    hung.begin()
    await hung.released
    return rename(from, to)
  }
  syncBuiltinESMExports()
  return hung
}

/** Makes the next `fdatasync` hang until it is released. */
export async function hangNextSync(t: Test, directory: string): Promise<Hung> {
  const handle = await fs.open(directory)
  const prototype: fs.FileHandle = Object.getPrototypeOf(handle)
  await handle.close()
  const { datasync } = prototype
  const restore = (): void => {
    prototype.datasync = datasync
  }
  t.teardown(restore)
  const hung = hang()
  prototype.datasync = async function (this: fs.FileHandle) {
    restore()
    hung.begin()
    await hung.released
    return datasync.call(this)
  }
  return hung
}

/** Makes the lock look as if its holder were stuck. */
export const makeStale = (path: string): void => lutimesSync(`${path}.lock`, 0, 0)
