import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { resolvePart } from '../config/resolve-part.js'
import { accessFacts } from '../disk/access.js'
import { isSystemError } from '../disk/errno.js'
import { createPasswordHasher } from '../users/password.js'
import { openUserStore, updateUsers } from '../users/store.js'
import type { User } from '../users/user.js'
import { type Command, type CommandContext, CommandError, UsageError } from './command.js'
import { promptPassword, readPasswordLine } from './password-input.js'
import { readUserArguments, type UserArguments, userUsage } from './user-arguments.js'

/** `ticketgate user …`: add, passwd, remove, list. Passwords are never printed. */
export const user: Command = async (args, context) => {
  const wanted = readUserArguments(args)
  if (wanted === undefined) context.stdout.write(userUsage)
  else {
    const { stateDir, usersFile } = resolvePart(['stateDir', 'usersFile'], {
      env: context.env,
      flags: wanted.fileFlags,
    }).values
    await carryOut(wanted, resolve(usersFile ?? join(stateDir, 'users.json')), context)
  }
  return 0
}

async function carryOut(wanted: UserArguments, file: string, context: CommandContext): Promise<void> {
  const { name, rights, fromStdin } = wanted
  const say = (text: string): unknown => context.stdout.write(`${text}\n`)
  try {
    switch (wanted.action) {
      case 'list':
        return await list(file, context)
      case 'remove':
        await change(file, name, (users, user) => void users.delete(user.name))
        return void say(`removed ${name} from ${file}`)
      case 'passwd': {
        known(name, await find(file, name), file)
        const passwordHash = await newPasswordHash(name, fromStdin, context)
        await change(file, name, (users, user) => void users.set(name, { ...user, passwordHash }))
        return void say(`changed the password of ${name} in ${file}`)
      }
      case 'add': {
        // Checked before asking for the password, and again under the lock, which is not held while
        // asking.
        unknown(name, await find(file, name), file)
        const passwordHash = await newPasswordHash(name, fromStdin, context)
        const isNew = !existsSync(file)
        await updateUsers(file, users => {
          unknown(name, users.get(name), file)
          users.set(name, { name, passwordHash, ...(rights && { channels: rights }) })
        })
        if (name.includes(':'))
          context.stderr.write(
            `warning: HTTP Basic cannot carry a user name with a colon (RFC 7617): ${name} can log in with JSON only\n`,
          )
        return void say(`added ${name} to ${file}${isNew ? ', a new file' : ''}`)
      }
    }
  } catch (error) {
    if (!isSystemError(error)) throw error
    throw new CommandError(`the user file ${file} cannot be used: ${error.message}. ${accessFacts(file)}`)
  }
}

const change = (
  file: string,
  name: string,
  alter: (users: Map<string, User>, user: User) => void,
): Promise<void> => updateUsers(file, users => alter(users, known(name, users.get(name), file)))

async function list(file: string, { stdout, stderr }: CommandContext): Promise<void> {
  const users = await (await openUserStore(file)).list()
  for (const user of users) stdout.write(`${describe(user)}\n`)
  if (users.length === 0)
    stderr.write(existsSync(file) ? `there are no users in ${file}\n` : `there is no user file ${file}\n`)
}

/** One line per user. Names contain no tabs. */
function describe({ name, channels }: User): string {
  if (!channels) return name
  const words = (patterns: readonly string[] = []) => JSON.stringify(patterns)
  return `${name}\tpublish ${words(channels.publish)}\tsubscribe ${words(channels.subscribe)}`
}

const find = async (file: string, name: string): Promise<User | undefined> =>
  (await openUserStore(file)).find(name)

/**
 * Checks that a user does not exist.
 * @throws CommandError
 */
function unknown(name: string, user: User | undefined, file: string): void {
  if (user)
    throw new CommandError(`the user ${name} exists in ${file}; to change the password: user passwd ${name}`)
}

/**
 * Returns a user who must exist.
 * @throws CommandError
 */
function known(name: string, user: User | undefined, file: string): User {
  if (!user) throw new CommandError(`there is no user ${name} in ${file}`)
  return user
}

async function newPasswordHash(
  name: string,
  fromStdin: boolean,
  { stdin, stderr }: CommandContext,
): Promise<string> {
  if (!fromStdin && !stdin.isTTY)
    throw new UsageError('there is no terminal to ask for the password on: use --password-stdin')
  const password = fromStdin ? await readPasswordLine(stdin) : await promptPassword(stdin, stderr)
  if ([...password].length < 8) stderr.write('warning: the password is weak: shorter than 8 characters\n')
  else if (password === name) stderr.write('warning: the password is weak: it is the user name\n')
  return createPasswordHasher({ concurrency: 1, queueLimit: 0 }).hash(password)
}
