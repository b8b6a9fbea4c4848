import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errnoOf } from './errno.js'
import { keepOwner } from './replace-file.js'

/**
 * A journal is a file of lines that is only appended to. A line that a crash cut off was never
 * confirmed. It is not truncated either, because another process may have appended in the meantime.
 * Instead it is ended with CAN, the control character for "disregard this" (ECMA-48, section
 * 8.3.6), and readers skip it.
 */
const cancel = '\u0018'

/**
 * Appends lines without control characters to a journal. Resolves with its size in bytes once they
 * are on disk. Creates the file (mode 0600) if there is none; its name is on disk once its
 * directory is synced. Call it under a lock.
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
 * Reads the complete lines of a journal in batches, and lets the event loop run in between. Yields
 * nothing if there is no file.
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
