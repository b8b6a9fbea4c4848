/**
 * Programs outside npm that tests start or connect with: whether they are present, and how to
 * install them.
 */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, isAbsolute, join } from 'node:path'

type Playwright = typeof import('playwright-core')

interface Source {
  /** Its names on the search path, or absolute paths; the first that exists is used. */
  readonly names: readonly string[]
  /** Packages of Debian and Ubuntu. */
  readonly debian: readonly string[]
  /** Arguments of `brew install`. Absent: Linux only. */
  readonly brew?: readonly string[]
  /** Arguments of `pip3 install`, for what Homebrew does not package. */
  readonly pip?: readonly string[]
  /** One more path to try. */
  readonly elsewhere?: () => string
  /** Whether the program at this path is usable: for example, has the modules that tests import. */
  readonly suits?: (path: string) => boolean
}

const runs = (path: string, ...args: readonly string[]): boolean => {
  try {
    execFileSync(path, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const sources = {
  bash: { names: ['bash'], debian: ['bash'], brew: ['bash'] },
  caddy: { names: ['caddy'], debian: ['caddy'], brew: ['caddy'] },
  chromium: {
    names: [
      'chromium',
      'chromium-browser',
      'google-chrome-stable',
      'google-chrome',
      '/Applications/Chromium.app/Contents/MacOS/Chromium',
      '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    ],
    // Loaded on demand, because it is slow to load.
    elsewhere: () =>
      (createRequire(import.meta.url)('playwright-core') as Playwright).chromium.executablePath(),
    debian: ['chromium'],
    brew: ['chromium'],
  },
  curl: { names: ['curl'], debian: ['curl'], brew: ['curl'] },
  /** With Django and Channels. */
  daphne: {
    names: ['daphne'],
    debian: ['daphne', 'python3-daphne', 'python3-django-channels'],
    brew: ['python'],
    pip: ['channels', 'daphne'],
    suits: path =>
      runs('sh', '-c', `"$(sed -n '1s/^#!//p' "$0")" -c 'import channels, daphne, django'`, path),
  },
  /** For libraries that the dynamic linker of Linux preloads. */
  gcc: { names: ['gcc'], debian: ['gcc', 'libc6-dev'], suits: () => process.platform === 'linux' },
  go: { names: ['go'], debian: ['golang-go'], brew: ['go'] },
  /** With gorilla/websocket as Debian packages it. */
  'go-gorilla': {
    names: ['go'],
    debian: ['golang-go', 'golang-github-gorilla-websocket-dev'],
    suits: () => existsSync('/usr/share/gocode/src/github.com/gorilla/websocket'),
  },
  /** With the packages that the bench's peer imports. */
  'go-jwt': {
    names: ['go'],
    debian: [
      'golang-go',
      'golang-github-gorilla-websocket-dev',
      'golang-github-golang-jwt-jwt-dev',
      'golang-golang-x-crypto-dev',
    ],
    suits: () =>
      existsSync('/usr/share/gocode/src/github.com/golang-jwt/jwt') &&
      existsSync('/usr/share/gocode/src/golang.org/x/crypto/argon2'),
  },
  haproxy: { names: ['haproxy'], debian: ['haproxy'], brew: ['haproxy'] },
  /** As root only: it gives a test a disk of its own. */
  mount: {
    names: ['mount'],
    debian: ['mount'],
    suits: path => runs('unshare', '--mount', path, '-t', 'tmpfs', 'tmpfs', '/mnt'),
  },
  nginx: { names: ['nginx'], debian: ['nginx'], brew: ['nginx'] },
  openssl: { names: ['openssl'], debian: ['openssl'], brew: ['openssl'] },
  prometheus: { names: ['prometheus'], debian: ['prometheus'], brew: ['prometheus'] },
  promtool: { names: ['promtool'], debian: ['prometheus'], brew: ['prometheus'] },
  /** With the modules websockets and msgpack. */
  python3: {
    names: ['python3', '/usr/bin/python3'],
    debian: ['python3', 'python3-msgpack', 'python3-websockets'],
    brew: ['python'],
    pip: ['msgpack', 'websockets'],
    suits: path => runs(path, '-c', 'import msgpack, websockets'),
  },
  'redis-server': { names: ['redis-server'], debian: ['redis-server'], brew: ['redis'] },
  /** The one of util-linux, which gives a command a terminal. */
  script: {
    names: ['script'],
    debian: ['bsdutils'],
    suits: path => runs(path, '--quiet', '--return', '--command', 'true', '/dev/null'),
  },
  /** As root only: it runs a command as another user. */
  setpriv: {
    names: ['setpriv'],
    debian: ['util-linux'],
    suits: path => runs(path, '--reuid=12345', '--regid=0', '--clear-groups', 'true'),
  },
  'systemd-analyze': { names: ['systemd-analyze'], debian: ['systemd'] },
  'systemd-notify': { names: ['systemd-notify'], debian: ['systemd'] },
  tar: { names: ['tar'], debian: ['tar'], brew: ['gnu-tar'] },
  /** As root only: it runs a command as process 1, as a container does. */
  unshare: {
    names: ['unshare'],
    debian: ['util-linux'],
    suits: path => runs(path, '--pid', '--fork', 'true'),
  },
} as const satisfies Record<string, Source>

export type ProgramName = keyof typeof sources

export const programNames = Object.keys(sources) as ProgramName[]

// Debian keeps servers outside the search path of ordinary users.
const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const found = new Map<ProgramName, string | undefined>()

const find = (program: ProgramName): string | undefined => {
  if (found.has(program)) return found.get(program)
  const { names, elsewhere, suits = () => true }: Source = sources[program]
  const isUsable = (path: string): boolean => isExecutable(path) && suits(path)
  const path =
    names
      .flatMap(name => (isAbsolute(name) ? [name] : directories.map(directory => join(directory, name))))
      .find(isUsable) ?? [elsewhere?.() ?? ''].find(isUsable)
  found.set(program, path)
  return path
}

export const isPresent = (program: ProgramName): boolean => find(program) !== undefined

/** The Debian packages of these programs, each once. */
export const debianPackages = (programs: readonly ProgramName[]): string[] => [
  ...new Set(programs.flatMap((program): readonly string[] => sources[program].debian)),
]

/** One line: the install commands for Debian and macOS. */
export const howToInstall = (programs: readonly ProgramName[]): string => {
  const all = programs.map((program): Source => sources[program])
  const brew = [...new Set(all.flatMap(source => source.brew ?? []))]
  const pip = [...new Set(all.flatMap(source => source.pip ?? []))]
  const mac = [
    ...(brew.length === 0 ? [] : [`brew install ${brew.join(' ')}`]),
    ...(pip.length === 0 ? [] : [`pip3 install ${pip.join(' ')}`]),
  ].join(' && ')
  const debian = `Debian: apt-get install ${debianPackages(programs).join(' ')}`
  return mac === '' ? debian : `${debian}; macOS: ${mac}`
}

/**
 * The directory in which skipped tests record the programs they need, as empty files, for the last
 * line of `npm test`. Unset for a single file, whose output names them.
 */
export const missingDirectoryVariable = 'MISSING_PROGRAMS_DIRECTORY'

/** The absent programs. Throws instead if nothing may be skipped. */
const absentOf = (programs: readonly ProgramName[]): ProgramName[] => {
  const absent = programs.filter(program => find(program) === undefined)
  if (absent.length === 0) return absent
  if (process.env.CI === 'true' || process.env.TICKETGATE_TEST_ALL === '1')
    throw new Error(`not found: ${absent.join(', ')}. ${howToInstall(absent)}`)
  const directory = process.env[missingDirectoryVariable]
  if (directory !== undefined) for (const program of absent) writeFileSync(join(directory, program), '')
  return absent
}

const reasonFor = (absent: readonly ProgramName[]): string => `needs ${absent.join(', ')}`

/**
 * Options for a test that needs programs; if one is absent, the test is skipped.
 *
 *     t.test('gates share a store', needs('redis-server'), async t => { … })
 *
 * @throws Error with the install commands, if one is absent and `CI=true` or `TICKETGATE_TEST_ALL=1`
 */
export const needs = (...programs: readonly ProgramName[]): { readonly skip?: string } => {
  const absent = absentOf(programs)
  return absent.length === 0 ? {} : { skip: reasonFor(absent) }
}

/**
 * Skips the rest of the file if a program is absent. For files in which every test needs it; call
 * it before anything is started, because it ends the process.
 *
 * @throws Error as `needs` does
 */
export const fileNeeds = (
  t: { plan(count: number, comment: string): void },
  ...programs: readonly ProgramName[]
): void => {
  const absent = absentOf(programs)
  if (absent.length === 0) return
  t.plan(0, reasonFor(absent))
  process.exit(0)
}

/**
 * The path of a program.
 * @throws Error with the install commands, if it is absent
 */
export const pathOf = (program: ProgramName): string => {
  const path = find(program)
  if (path !== undefined) return path
  throw new Error(
    `not found: ${program} (skip the test with needs('${program}')). ${howToInstall([program])}`,
  )
}

export const isProgram = (name: string): name is ProgramName => Object.hasOwn(sources, name)
