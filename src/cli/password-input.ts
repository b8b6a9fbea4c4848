import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { maxPasswordBytes } from '../users/password.js'

export type Input = NodeJS.ReadableStream & { isTTY?: boolean }

/** Why no password came in. The message is for the operator and never holds what was typed. */
export class PasswordInputError extends Error {
  override readonly name = 'PasswordInputError'
}

/** The first line of a stream, without its end (`\n` or `\r\n`). Reads no further than it must. */
export async function readPasswordLine(stdin: Input): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    const end = bytes.indexOf('\n')
    chunks.push(end < 0 ? bytes : bytes.subarray(0, end))
    length += bytes.length
    if (end >= 0 || length > maxPasswordBytes + 1) break
  }
  const line = Buffer.concat(chunks)
  return checked(line.at(-1) === 13 ? line.subarray(0, -1) : line)
}

/** Asks twice on a terminal, echoing nothing. */
export async function promptPassword(stdin: Input, prompts: NodeJS.WritableStream): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  // Switches the echo off at once, so before the question shows.
  const terminal = createInterface({ input: stdin, output: nowhere, terminal: true, historySize: 0 })
  terminal.on('SIGINT', () => terminal.close())
  // One iterator for both answers: they may arrive together, when pasted.
  const lines = terminal[Symbol.asyncIterator]()
  async function ask(question: string): Promise<string> {
    prompts.write(question)
    const answer = await lines.next()
    prompts.write('\n')
    if (answer.done) throw new PasswordInputError('cancelled')
    return answer.value
  }
  try {
    const password = checked(Buffer.from(await ask('Password: ')))
    if ((await ask('Again: ')) !== password) throw new PasswordInputError('the two passwords differ')
    return password
  } finally {
    terminal.close()
  }
}

function checked(bytes: Uint8Array): string {
  if (bytes.length === 0) throw new PasswordInputError('the password is empty')
  if (bytes.length > maxPasswordBytes)
    throw new PasswordInputError(`the password is longer than ${maxPasswordBytes} bytes`)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new PasswordInputError('the password is not UTF-8')
  }
}
