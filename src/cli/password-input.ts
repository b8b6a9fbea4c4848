import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { maxPasswordBytes } from '../users/password.js'
import { CommandError, type Input } from './command.js'

const byteOrderMark = Buffer.from('\uFEFF')

/** Reads the first line of a stream, without its end (`\n` or `\r\n`), and no further. */
export async function readPasswordLine(stdin: Input): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    const end = bytes.indexOf('\n')
    chunks.push(end < 0 ? bytes : bytes.subarray(0, end))
    length += bytes.length
    if (end >= 0 || length > maxPasswordBytes + byteOrderMark.length + 1) break
  }
  const line = Buffer.concat(chunks)
  return checked(line.at(-1) === 13 ? line.subarray(0, -1) : line)
}

/** Asks twice on a terminal, without echo. */
export async function promptPassword(stdin: Input, prompts: NodeJS.WritableStream): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  // Turns the echo off before the prompt appears.
  const terminal = createInterface({ input: stdin, output: nowhere, terminal: true, historySize: 0 })
  terminal.on('SIGINT', () => terminal.close())
  // One iterator for both lines: when pasted, they may arrive together.
  const lines = terminal[Symbol.asyncIterator]()
  async function ask(question: string): Promise<string> {
    prompts.write(question)
    const answer = await lines.next()
    prompts.write('\n')
    if (answer.done) throw new CommandError('cancelled')
    return answer.value
  }
  try {
    const password = checked(Buffer.from(await ask('Password: ')))
    if ((await ask('Again: ')) !== password) throw new CommandError('the two passwords differ')
    return password
  } finally {
    terminal.close()
  }
}

/**
 * Returns the password without the byte order mark that PowerShell may prepend. Messages never
 * quote it.
 * @throws CommandError
 */
function checked(input: Buffer): string {
  const bytes = input.subarray(0, byteOrderMark.length).equals(byteOrderMark)
    ? input.subarray(byteOrderMark.length)
    : input
  if (bytes.length === 0) throw new CommandError('the password is empty')
  if (bytes.length > maxPasswordBytes)
    throw new CommandError(`the password is longer than ${maxPasswordBytes} bytes`)
  const password = decoded(bytes)
  if (/[\p{Cc}\uFEFF]/u.test(password))
    throw new CommandError('the password contains a control character or byte order mark: remove it')
  return password
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new CommandError('the password is not UTF-8 (PowerShell: $OutputEncoding = [Text.Encoding]::UTF8)')
  }
}
