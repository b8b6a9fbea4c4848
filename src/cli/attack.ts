import { spawn } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { type Case, type CaseOptions, cases, type Verdict } from '../attack/cases.js'
import { type Finding, finding, junit, table } from '../attack/report.js'
import { type PresetName, presets, Target } from '../attack/target.js'
import { type Arguments, wantsHelp } from '../config/arguments.js'
import { readArguments } from './arguments.js'
import { type Command, type CommandContext, CommandError, UsageError } from './command.js'

const usage = `Usage: ticketgate attack URL [flags]

Attacks the tickets of your WebSocket server and reports what held. Exit code 0 if everything held,
1 if something broke. Sends a few hundred requests, at most thirty at once.

  --preset NAME          ${Object.keys(presets).join(', ')} (default: ticketgate)
  --user NAME            the user to log in as; the password is in TICKETGATE_ATTACK_PASSWORD
                         Instead of a login, TICKETGATE_ATTACK_TOKEN can hold a token
  --login-path PATH      where {"user","pwd"} is posted; the reply has {"token"}
  --ticket-path PATH     where the token is sent as bearer; the reply has {"ticket"}
  --socket-path PATH     the path of sockets, with {ticket} in it
  --origin ORIGIN        an allowed origin; the attack tries others
  --forbidden-path PATH  a path with {ticket} at which this user must not open a socket
  --lifetime SECONDS     the lifetime of a credential; the attack waits for its end
  --restart COMMAND      restarts the server
  --slow SECONDS         how long an unfinished handshake may keep a connection open
  --log FILE             the log of the server, which must not contain a credential
  --only NAME            run one attack; may be given several times
  --json                 print the findings as JSON
  --junit FILE           write the findings to a file as JUnit XML
  --i-own-this-host      required for hosts that are not this machine
`

const flagKinds = {
  preset: 'value',
  user: 'value',
  'login-path': 'value',
  'ticket-path': 'value',
  'socket-path': 'value',
  origin: 'value',
  'forbidden-path': 'value',
  lifetime: 'value',
  restart: 'value',
  slow: 'value',
  log: 'value',
  only: 'values',
  json: 'switch',
  junit: 'value',
  'i-own-this-host': 'switch',
} as const

/**
 * `ticketgate attack`: reports which attacks on the tickets of a server fail, ours or any other.
 */
export const attack: Command = async (args, context) => {
  const given = readArguments(args, flagKinds)
  if (wantsHelp(given)) {
    context.stdout.write(usage)
    return 0
  }
  const url = await urlIn(given)
  const target = new Target({
    url,
    ...credentials(given, context.env),
    profile: profileIn(given),
    origin: flagValue(given, 'origin'),
  })
  const findings = await run(target, given, context)
  const path = flagValue(given, 'junit')
  if (path !== undefined) await writeFile(path, junit(findings))
  context.stdout.write(
    given.flags.has('json') ? `${JSON.stringify(findings, undefined, 2)}\n` : table(findings),
  )
  return findings.some(({ outcome }) => outcome === 'broken') ? 1 : 0
}

async function run(target: Target, given: Arguments, { stderr }: CommandContext): Promise<Finding[]> {
  const options = caseOptions(given, target.url)
  const only = given.flags.get('only') ?? cases.map(({ name }) => name)
  const unknown = only.find(name => !cases.some(each => each.name === name))
  if (unknown !== undefined)
    throw new UsageError(
      `--only: unknown attack ${JSON.stringify(unknown)}: ${cases.map(({ name }) => name).join(', ')}`,
    )
  try {
    if (!(await target.opens(await target.credential())))
      throw new Error('a valid credential opened no socket: check --socket-path and --origin')
  } catch (error) {
    throw new CommandError(`cannot attack: ${messageOf(error)}`)
  }
  const findings: Finding[] = []
  let isGone = false
  for (const each of cases.filter(({ name }) => only.includes(name))) {
    const begin = performance.now()
    stderr.write(`${each.name} … `)
    const verdict: Verdict = isGone ? unreachable : await verdictOf(each, target, options)
    isGone ||= verdict === fallen
    stderr.write(`${verdict.outcome}\n`)
    findings.push(finding(each, verdict, performance.now() - begin))
  }
  return findings
}

const fallen: Verdict = { outcome: 'broken', detail: 'the server no longer responds' }
const unreachable: Verdict = { outcome: 'skipped', detail: fallen.detail }

/** @throws CommandError if an attack cannot be run although the server is there */
async function verdictOf(attack: Case, target: Target, options: CaseOptions): Promise<Verdict> {
  try {
    return await attack.run(target, options)
  } catch (error) {
    if (!(await responds(target.url))) return fallen
    throw new CommandError(`${attack.name} could not be run: ${messageOf(error)}`)
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const flagValue = ({ flags }: Arguments, name: keyof typeof flagKinds): string | undefined =>
  flags.get(name)?.[0]

/** @throws UsageError */
async function urlIn(given: Arguments): Promise<URL> {
  const [operand, ...others] = given.operands
  if (operand === undefined || others.length > 0)
    throw new UsageError('one URL is required, such as http://127.0.0.1:8080')
  if (!URL.canParse(operand.text) || !/^(https?|wss?):$/.test(new URL(operand.text).protocol))
    throw new UsageError('the operand is not a URL: give one such as http://127.0.0.1:8080')
  const url = new URL(operand.text.replace(/^ws/, 'http'))
  if (!given.flags.has('i-own-this-host') && !(await isThisMachine(url.hostname)))
    throw new UsageError(
      `${url.hostname} is not this machine: attack only your own hosts, and confirm with --i-own-this-host`,
    )
  return url
}

async function isThisMachine(hostname: string): Promise<boolean> {
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const addresses = isIP(host) > 0 ? [{ address: host }] : await lookup(host, { all: true }).catch(() => [])
  return addresses.length > 0 && addresses.every(({ address }) => /^127\.|^::1$/.test(address))
}

function credentials(given: Arguments, env: CommandContext['env']) {
  const { TICKETGATE_ATTACK_PASSWORD: password, TICKETGATE_ATTACK_TOKEN: token } = env
  const user = flagValue(given, 'user')
  if (token === undefined && (user === undefined || password === undefined))
    throw new UsageError(
      'a login is required: --user NAME with TICKETGATE_ATTACK_PASSWORD, or TICKETGATE_ATTACK_TOKEN',
    )
  return { user: user ?? '', password: password ?? '', token }
}

function profileIn(given: Arguments) {
  const name = flagValue(given, 'preset') ?? 'ticketgate'
  if (!Object.hasOwn(presets, name))
    throw new UsageError(
      `--preset: unknown preset ${JSON.stringify(name)}: ${Object.keys(presets).join(', ')}`,
    )
  const preset = presets[name as PresetName]
  const socketPath = flagValue(given, 'socket-path') ?? preset.socketPath
  if (!preset.isSocketIo && !socketPath.includes('{ticket}'))
    throw new UsageError('--socket-path: has no {ticket}: write it where the ticket belongs')
  return {
    ...preset,
    loginPath: flagValue(given, 'login-path') ?? preset.loginPath,
    ticketPath: flagValue(given, 'ticket-path') ?? preset.ticketPath,
    socketPath,
  }
}

function secondsIn(given: Arguments, name: 'lifetime' | 'slow'): number | undefined {
  const text = flagValue(given, name)
  if (text === undefined) return undefined
  if (!/^\d{1,4}$/.test(text)) throw new UsageError(`--${name}: takes 0 to 9999 seconds`)
  return Number(text)
}

function caseOptions(given: Arguments, url: URL): CaseOptions {
  const [command, log] = [flagValue(given, 'restart'), flagValue(given, 'log')]
  return {
    restart: command === undefined ? undefined : () => restartBy(command, url),
    lifetimeSeconds: secondsIn(given, 'lifetime'),
    forbiddenPath: flagValue(given, 'forbidden-path'),
    slowSeconds: secondsIn(given, 'slow'),
    readLog: log === undefined ? undefined : () => readFile(log, 'utf8'),
  }
}

/** Runs a shell command, and waits until the server replies at `url` again. */
async function restartBy(command: string, url: URL): Promise<void> {
  const child = spawn(command, { shell: true, stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`--restart ended with exit code ${code}`)
  for (let attempt = 0; attempt < 300; attempt++) {
    if (await responds(url)) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error('the server did not come back within 30 s')
}

const responds = (url: URL): Promise<boolean> =>
  fetch(url, { signal: AbortSignal.timeout(1000) }).then(
    () => true,
    () => false,
  )
