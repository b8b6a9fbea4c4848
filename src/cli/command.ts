/** Where a password is read from. */
export type Input = NodeJS.ReadableStream & { isTTY?: boolean }

/** What a command gets besides its arguments. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Input
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}

/**
 * A command. Resolves with the exit code, or with undefined while a server keeps running.
 * @throws UsageError, CommandError, StartupError
 */
export type Command = (args: readonly string[], context: CommandContext) => Promise<number | undefined>

/** The command line is invalid: exit code 2. The message has one line per mistake. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The command failed: exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}
