import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { wantsHelp } from '../config/arguments.js'
import { isSystemError } from '../disk/errno.js'
import { readArguments } from './arguments.js'
import { type Command, CommandError, UsageError } from './command.js'

const usage = `Usage: ticketgate key new [--id N] [--out FILE]

Generates a ticket key, 32 random bytes, in the form that TICKETGATE_TICKET_KEYS takes.

  --id N        its id, 1 to 255; default: 1
  --out FILE    write it to a new file that only you can read (mode 0600), instead of printing it
  -h, --help    show this
`

/**
 * `ticketgate key new`: generates a ticket key as `id:base64url`, and prints it or writes it to a
 * file.
 */
export const key: Command = async (args, { stdout }) => {
  const read = readArguments(args, { id: 'value', out: 'value' })
  if (wantsHelp(read)) {
    stdout.write(usage)
    return 0
  }
  const [action, ...others] = read.operands
  if (action?.text !== 'new' || others.length > 0) throw new UsageError('expected an action: new')
  const line = `${idOf(read.flags.get('id')?.[0] ?? '1')}:${randomBytes(32).toString('base64url')}\n`
  const file = read.flags.get('out')?.[0]
  if (file === undefined) stdout.write(line)
  else {
    await writeNew(file, line)
    stdout.write(`wrote ${resolve(file)}\n`)
  }
  return 0
}

function idOf(text: string): string {
  if (!/^[1-9]\d{0,2}$/.test(text) || Number(text) > 255)
    throw new UsageError('--id: give a number from 1 to 255')
  return text
}

/** Never overwrites a file: it may hold keys in use. */
async function writeNew(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (!isSystemError(error)) throw error
    const reason =
      error.code === 'EEXIST'
        ? 'it exists and may hold keys in use. Write to another file and copy the line from there'
        : error.message
    throw new CommandError(`cannot write ${resolve(file)}: ${reason}`)
  }
}
