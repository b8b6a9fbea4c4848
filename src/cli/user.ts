import { isSystemError } from '../disk/errno.js'
import { StartupError } from '../errors.js'
import { createPasswordHasher } from '../users/password.js'
import { openUserStore, updateUsers } from '../users/store.js'
import type { User } from '../users/user.js'
import { type Input, PasswordInputError, promptPassword, readPasswordLine } from './password-input.js'
import { help, nameOf, parse, passwordOption, rightsOf, rightsOptions, UsageError } from './user-usage.js'

export interface UserCommandContext {
  readonly usersFile: string
  readonly stdin: Input
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}

/** What to do was said well but can not be done: exit code 1. */
class CommandError extends Error {}

/**
 * `ticketgate user …`: add, passwd, remove, list. Resolves with the exit code: 0, 1 when it could not be
 * done, 2 for wrong usage. Results go to stdout, problems to stderr; a password goes nowhere.
 */
export async function runUserCommand(args: readonly string[], context: UserCommandContext): Promise<number> {
  try {
    await run(args, context)
    return 0
  } catch (error) {
    if (error instanceof UsageError) {
      context.stderr.write(`error: ${error.message}\nSee ticketgate user --help\n`)
      return 2
    }
    context.stderr.write(`error: ${problem(error, context.usersFile)}\n`)
    return 1
  }
}

async function run([command, ...rest]: readonly string[], context: UserCommandContext): Promise<void> {
  if ([command, ...rest].some(arg => arg === '--help' || arg === '-h')) {
    context.stdout.write(help)
    return
  }
  switch (command) {
    case 'add':
      return add(rest, context)
    case 'passwd':
      return passwd(rest, context)
    case 'remove':
      return remove(rest, context)
    case 'list':
      return list(rest, context)
    default:
      throw new UsageError('one of add, passwd, remove, list is needed')
  }
}

async function add(args: readonly string[], context: UserCommandContext): Promise<void> {
  const { values, positionals } = parse(args, { ...passwordOption, ...rightsOptions })
  const name = nameOf(positionals)
  const channels = rightsOf(values.publish, values.subscribe)
  // Before asking for a password; once more under the lock, which the password does not wait in.
  demandUnknown(name, await namesIn(context.usersFile))
  const passwordHash = await newPasswordHash(name, values['password-stdin'], context)
  await updateUsers(context.usersFile, users => {
    demandUnknown(name, users)
    users.set(name, { name, passwordHash, ...(channels && { channels }) })
  })
  context.stdout.write(`added ${name}\n`)
}

async function passwd(args: readonly string[], context: UserCommandContext): Promise<void> {
  const { values, positionals } = parse(args, passwordOption)
  const name = nameOf(positionals)
  demandKnown(name, (await namesIn(context.usersFile)).get(name))
  const passwordHash = await newPasswordHash(name, values['password-stdin'], context)
  await updateUsers(context.usersFile, users => {
    users.set(name, { ...demandKnown(name, users.get(name)), passwordHash })
  })
  context.stdout.write(`changed the password of ${name}\n`)
}

async function remove(args: readonly string[], context: UserCommandContext): Promise<void> {
  const name = nameOf(parse(args, {}).positionals)
  demandKnown(name, (await namesIn(context.usersFile)).get(name))
  await updateUsers(context.usersFile, users => {
    demandKnown(name, users.get(name))
    users.delete(name)
  })
  context.stdout.write(`removed ${name}\n`)
}

async function list(args: readonly string[], { usersFile, stdout }: UserCommandContext): Promise<void> {
  if (parse(args, {}).positionals.length > 0) throw new UsageError('list takes no name')
  for (const user of await (await openUserStore(usersFile)).list()) stdout.write(`${describe(user)}\n`)
}

/** One line; names hold no tabs. */
function describe({ name, channels }: User): string {
  if (!channels) return name
  const words = (patterns: readonly string[] = []) => JSON.stringify(patterns)
  return `${name}\tpublish ${words(channels.publish)}\tsubscribe ${words(channels.subscribe)}`
}

async function namesIn(usersFile: string): Promise<ReadonlyMap<string, User>> {
  const users = await (await openUserStore(usersFile)).list()
  return new Map(users.map(user => [user.name, user]))
}

function demandUnknown(name: string, users: ReadonlyMap<string, User>): void {
  if (users.has(name)) throw new CommandError(`the user ${name} exists; to change the password: user passwd`)
}

function demandKnown(name: string, user: User | undefined): User {
  if (!user) throw new CommandError(`there is no user ${name}`)
  return user
}

async function newPasswordHash(
  name: string,
  fromStdin: boolean | undefined,
  { stdin, stderr }: UserCommandContext,
): Promise<string> {
  if (!fromStdin && !stdin.isTTY)
    throw new UsageError('there is no terminal to ask for the password on; use --password-stdin')
  const password = fromStdin ? await readPasswordLine(stdin) : await promptPassword(stdin, stderr)
  if ([...password].length < 8) stderr.write('warning: the password is weak: shorter than 8 characters\n')
  else if (password === name) stderr.write('warning: the password is weak: it is the user name\n')
  return createPasswordHasher({ concurrency: 1, queueLimit: 0 }).hash(password)
}

function problem(error: unknown, usersFile: string): string {
  if (error instanceof CommandError || error instanceof PasswordInputError || error instanceof StartupError)
    return error.message
  if (isSystemError(error)) return `the user file ${usersFile} can not be changed: ${error.message}`
  throw error
}
