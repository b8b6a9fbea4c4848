import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from './errno.js'
import { keepOwner } from './replace-file.js'

/**
 * A journal: a file of lines to which lines are added and nothing else. What a crash left of a line at the end was never
 * confirmed to anybody. Nothing is ever cut off, since another process may have added to it meanwhile: a torn line is
 * ended by CAN, the control character that says "disregard this" (ECMA-48, section 8.3.6), and readers skip it.
 */
const cancel = '\u0018'

/**
 * Adds lines to a journal; resolves with its size in bytes once they are on disk. They hold no control characters. To be
 * called under a lock. Makes the file (mode 0600) where there is none; its name is on disk when its directory is synced.
 */
export async function appendLines(path: string, lines: readonly string[]): Promise<number> {
  const file = await open(path, 'a+', 0o600)
  try {
    const { size } = await file.stat()
    if (size === 0) await keepOwner(file, dirname(path))
    const isTorn = size > 0 && (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer[0] !== 0x0a
    await file.appendFile(`${isTorn ? `${cancel}\n` : ''}${lines.join('\n')}\n`)
    await file.datasync()
    return (await file.stat()).size
  } finally {
    await file.close()
  }
}

/**
 * Reads the whole lines of a journal, some at a time, and lets the event loop turn in between. None where there is no
 * file.
 */
export async function* readLines(path: string): AsyncGenerator<string[]> {
  let rest = ''
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      yield lines.filter(line => !line.endsWith(cancel))
    }
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}
