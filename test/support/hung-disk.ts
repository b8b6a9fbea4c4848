import { lutimesSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import type { Test } from 'tap'

/** Makes the next rename onto `path` hang, as on a disk that does not answer, until it is let go. */
export function hangNextRename(t: Test, path: string): { readonly begun: Promise<void>; letGo(): void } {
  const { rename } = fs
  const restore = (): void => {
    fs.rename = rename
    syncBuiltinESMExports()
  }
  t.teardown(restore)
  let begin = (): void => {}
  let letGo = (): void => {}
  const begun = new Promise<void>(resolve => {
    begin = resolve
  })
  const released = new Promise<void>(resolve => {
    letGo = resolve
  })
  fs.rename = async (from, to) => {
    if (to !== path) return rename(from, to)
    restore()
    begin()
    await released
    return rename(from, to)
  }
  syncBuiltinESMExports()
  return { begun, letGo }
}

/** As if the holder of the lock had not moved for long. */
export const makeStale = (path: string): void => lutimesSync(`${path}.lock`, 0, 0)
