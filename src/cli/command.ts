/** What a password is read from. */
export type Input = NodeJS.ReadableStream & { isTTY?: boolean }

/** What a command is given besides its arguments. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Input
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}

/**
 * One command: its arguments, and where it reads and writes. Resolves with the exit code, or with undefined while a
 * server goes on running.
 * @throws UsageError, CommandError, StartupError
 */
export type Command = (args: readonly string[], context: CommandContext) => Promise<number | undefined>

/** The command line makes no sense: exit code 2. The message has one line for each mistake. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The command line makes sense and cannot be done: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}
