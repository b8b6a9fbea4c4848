#!/usr/bin/env node
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { createDemoUser } from './cli/demo-user.js'
import { developmentRecipe } from './cli/development-banner.js'
import { runUserCommand } from './cli/user.js'
import { helpText } from './config/help.js'
import { resolveConfig } from './config/resolve.js'
import type { Config } from './config/schema.js'
import { warnOfReadOnlyState } from './disk/state-dir.js'
import { StartupError } from './errors.js'
import type { Gate } from './gate/gate.js'
import { admitTokensInHeaders } from './http/header-limit.js'
import { routes } from './protocol.js'
import { createLog, type Log } from './telemetry/log.js'

const usage = `Usage: ticketgate COMMAND [options]

  serve                          run the server
  user add|passwd|remove|list    the users who may log in
  key new [--id N]               make a key for an outside minter, in the form that TICKETGATE_TICKET_KEYS takes
  health                         ask the server configured here whether it works; exit code 0 or 1
  help, --help                   show this
  --version                      show the version

`

/** One command line; resolves with the exit code, or with undefined while a server runs. */
async function run(args: readonly string[]): Promise<number | undefined> {
  const [command = 'help', ...rest] = args
  switch (command) {
    case 'serve':
      if (wantsHelp(rest)) return print(usage + helpText())
      return serve(resolveConfig({ env: process.env, flags: rest }))
    case 'user':
      return runUserCommand(rest, {
        usersFile: usersFile(),
        stdin: process.stdin,
        stdout: process.stdout,
        stderr: process.stderr,
      })
    case 'key':
      return newKey(rest)
    case 'health':
      if (wantsHelp(rest)) return print(usage + helpText())
      return askHealth(resolveConfig({ env: process.env, flags: rest }))
    case 'help':
    case '--help':
    case '-h':
      return print(usage + helpText())
    case '--version':
      return print(`${version()}\n`)
    default:
      process.stderr.write(`ticketgate: there is no command ${JSON.stringify(command)}\n\n${usage}`)
      return 2
  }
}

const wantsHelp = (args: readonly string[]): boolean => args.includes('--help') || args.includes('-h')

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

/** Prints a fresh ticket key, 32 random bytes, as `id:base64url`. */
function newKey(args: readonly string[]): number {
  const usage = 'Usage: ticketgate key new [--id N]     N from 1 to 255, default 1\n'
  if (wantsHelp(args)) return print(usage)
  const [action, flag, id = '1', ...others] = args
  const isId = /^[1-9]\d{0,2}$/.test(id) && Number(id) <= 255
  if (action !== 'new' || (flag !== undefined && flag !== '--id') || !isId || others.length > 0) {
    process.stderr.write(usage)
    return 2
  }
  return print(`${id}:${randomBytes(32).toString('base64url')}\n`)
}

function version(): string {
  const manifest: { version: string } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  )
  return manifest.version
}

// Whoever manages users need not hold the secrets that the server demands.
const usersFile = (): string => resolveConfig({ env: { ...process.env, NODE_ENV: 'development' } }).usersFile

async function serve(config: Config): Promise<undefined> {
  const password =
    config.production || config.jwksUrl !== undefined ? undefined : await createDemoUser(config.usersFile)
  const log = createLog(config.logLevel)
  await warnOfReadOnlyState(config.stateDir, log)
  admitTokensInHeaders(config.maxTokenBytes)
  const { buildGate } = await import('./gate/build.js')
  const gate = await buildGate(config, log)
  const { url, adminUrl } = await gate.listen()
  stopOnSignal(gate, log)
  if (config.ticketKeysFile === undefined) outliveHangups(log)
  if (!config.production)
    process.stdout.write(
      developmentRecipe({
        url,
        adminUrl,
        password,
        usersFile: config.usersFile,
        jwksUrl: config.jwksUrl,
        page: config.console === 'on' ? `${url}/` : undefined,
      }),
    )
  // A port that the system chose is nowhere else, whatever the level of the log.
  const announcer = log.isLevelEnabled('info') ? log : log.child({}, { level: 'info' })
  announcer.info({ url, admin: adminUrl, production: config.production }, 'listening')
}

/** SIGHUP asks a server to read its files again. It would end this one, which has none; of a terminal that is what is meant. */
function outliveHangups(log: Log): void {
  if (process.stdin.isTTY) return
  process.on('SIGHUP', () => log.info('SIGHUP: there is no file of ticket keys to read again'))
}

/** The first signal drains; a second one ends all at once, and a third does not even wait for the threads to end. */
function stopOnSignal(gate: Gate, log: Log): void {
  const stop = (signal: NodeJS.Signals): void => {
    for (const name of ['SIGTERM', 'SIGINT'] as const)
      process.removeListener(name, stop).once(name, () => {
        for (const again of ['SIGTERM', 'SIGINT'] as const) process.on(again, () => process.exit(1))
        gate.close().finally(() => process.exit(1))
      })
    gate.drain().then(
      () => flushed(log).then(() => process.exit(0)),
      error => {
        log.fatal({ err: error, signal }, 'could not drain')
        flushed(log).then(() => process.exit(1))
      },
    )
  }
  process.on('SIGTERM', stop).on('SIGINT', stop)
}

/** Writes the last lines, but does not wait for a reader that has gone. */
const flushed = (log: Log): Promise<void> =>
  new Promise(resolve => {
    setTimeout(resolve, 500)
    log.flush(() => resolve())
  })

/** Asks `/healthz` of the listener that these settings describe: what a container's health check needs. */
function askHealth(config: Config): Promise<number> {
  const anyAddress: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }
  const options = {
    host: anyAddress[config.host] ?? config.host,
    port: config.port,
    path: routes.health,
    timeout: 3000,
    // It asks itself, under an address that no certificate names.
    rejectUnauthorized: false,
  }
  return new Promise(resolve => {
    const fail = (reason: string): void => {
      process.stderr.write(`ticketgate: not healthy: ${reason}\n`)
      resolve(1)
    }
    const request = (config.tlsCertFile === undefined ? httpRequest : httpsRequest)(options, response => {
      response.resume()
      if (response.statusCode === 200) resolve(0)
      else fail(`status ${response.statusCode}`)
    })
    request.on('timeout', () => request.destroy(new Error('no answer within 3 s')))
    request.on('error', error => fail(error.message))
    request.end()
  })
}

run(process.argv.slice(2)).then(
  code => {
    if (code !== undefined) process.exitCode = code
  },
  error => {
    if (!(error instanceof StartupError)) throw error
    process.stderr.write(`${error.message.replace(/^/gm, 'ticketgate: ')}\n`)
    process.exitCode = 1
  },
)
