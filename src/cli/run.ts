import { StartupError } from '../errors.js'
import { type Command, type CommandContext, CommandError, UsageError } from './command.js'
import { program } from './program.js'

// Loaded on demand: a health check that runs every few seconds should not load a server.
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import('./serve.js')).serve,
  user: async () => (await import('./user.js')).user,
  key: async () => (await import('./key.js')).key,
  token: async () => (await import('./token.js')).token,
  attack: async () => (await import('./attack.js')).attack,
  check: async () => (await import('./check.js')).check,
  health: async () => (await import('./health.js')).health,
  help: async () => (await import('./help.js')).help,
  '--help': async () => (await import('./help.js')).help,
  '-h': async () => (await import('./help.js')).help,
}

/**
 * Runs a command and sets the exit code of the process: 0, 1 if it failed, 2 if the command line is
 * invalid.
 */
export async function run(name: string, args: readonly string[]): Promise<void> {
  const { env, stdin, stdout, stderr } = process
  const code = await exitCodeOf(name, args, { env, stdin, stdout, stderr })
  if (code !== undefined) process.exitCode = code
}

/**
 * Returns the exit code of a command. Undefined while a server keeps running. Problems go to
 * `stderr`.
 */
export async function exitCodeOf(
  name: string,
  args: readonly string[],
  context: CommandContext,
): Promise<number | undefined> {
  const complain = (text: string): unknown => context.stderr.write(text.replace(/^(?=.)/gm, 'ticketgate: '))
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined) {
    complain(`unknown command ${JSON.stringify(name)}\nSee ${program()} --help\n`)
    return 2
  }
  try {
    return await (await load())(args, context)
  } catch (error) {
    if (error instanceof UsageError) {
      complain(`${error.message}\nSee ${program()} ${name} --help\n`)
      return 2
    }
    if (!(error instanceof StartupError || error instanceof CommandError)) throw error
    complain(`${error.message}\n`)
    return 1
  }
}
