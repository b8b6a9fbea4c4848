import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { unsupportedNode } from '../../src/cli/node-support.js'
import { temporaryDirectory } from '../support/server.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const { platform, arch } = process

/** An empty project with the package and all of its dependencies except uWebSockets.js. */
const project = temporaryDirectory(t)
const modules = join(project, 'node_modules')
const own = join(modules, 'ticketgate')
mkdirSync(own, { recursive: true })
cpSync(join(root, 'dist'), join(own, 'dist'), { recursive: true })
cpSync(join(root, 'package.json'), join(own, 'package.json'))
for (const name of Object.keys(manifest.dependencies))
  if (name !== 'uWebSockets.js') {
    mkdirSync(dirname(join(modules, name)), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), join(modules, name))
  }

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const node = (...args: readonly string[]): Promise<Outcome> =>
  new Promise(resolve => {
    const env = { PATH: process.env.PATH, TICKETGATE_PORT: '0', TICKETGATE_ADMIN_PORT: '0' }
    execFile(process.execPath, args, { cwd: project, env }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    )
  })

const main = join(own, 'dist/main.js')
const evaluate = (code: string): Promise<Outcome> => node('--input-type=module', '--eval', code)

t.test('without uWebSockets.js everything works except serving', async t => {
  t.match(await node(main, '--version'), { code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  t.match(await node(main, '--help'), { code: 0, stdout: /TICKETGATE_PORT/, stderr: '' })
  t.match(await node(main, 'serve', '--help'), { code: 0, stdout: /TICKETGATE_PORT/, stderr: '' })
  t.match(await node(main, 'key', 'new'), { code: 0, stdout: /^1:[\w-]{43}\n$/, stderr: '' })
  t.match(await node(main, 'token', 'explain', '--help'), {
    code: 0,
    stdout: /^Usage: ticketgate token/,
    stderr: '',
  })
  t.match(await node(main, 'user', 'list'), { code: 0, stdout: '', stderr: /there is no user file/ })
  t.match(await node(main, 'health', '--port', '1'), { code: 1, stderr: /not healthy: .*ECONNREFUSED/ })
  t.match(
    await evaluate(`
      import { createBootKey, createIssuer, createVerifier } from 'ticketgate/ticket'
      const key = createBootKey()
      const { ticket } = createIssuer({ key }).issue({ user: 'maggie', expires: Math.floor(Date.now() / 1000) + 60 })
      console.log((await createVerifier({ keys: [key] }).verify(ticket)).user)
      import { connect } from 'ticketgate/client'
      console.log(typeof connect)`),
    { code: 0, stdout: 'maggie\nfunction\n', stderr: '' },
  )
})

const oneLine = (pattern: RegExp): RegExp => new RegExp(`^ticketgate: ${pattern.source}\\n$`)

t.test('commands that need uWebSockets.js say so in one line', async t => {
  t.match(await node(main, 'serve'), {
    code: 1,
    stdout: '',
    stderr: oneLine(/uWebSockets\.js is not installed, which the server needs: npm ci/),
  })
  t.match(
    await evaluate(`
      import { createGate } from 'ticketgate'
      createGate().catch(error => console.log(error.name, error.code))`),
    { code: 0, stdout: 'StartupError uwebsockets_unavailable\n' },
    'an embedded gate rejects with a code',
  )
})

/** Installs a uWebSockets.js that has these binaries and fails with this message. */
function fakeUWebSockets(binaries: readonly string[], message: string): void {
  const directory = join(modules, 'uWebSockets.js')
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  for (const name of binaries) writeFileSync(join(directory, name), '')
  writeFileSync(join(directory, 'package.json'), '{"main":"uws.js"}')
  writeFileSync(join(directory, 'uws.js'), `throw new Error(${JSON.stringify(message)})`)
}

const loadError =
  'This version of uWS.js (v20.51.0) supports only Node.js versions 18, 20, 22 and 23 on (glibc) Linux, macOS and Windows.\n\nError: '
const binary = (modules: string): string => `uws_${platform}_${arch}_${modules}.node`

t.test(
  'a uWebSockets.js that cannot be loaded is explained in one line, not with its own message',
  async t => {
    const here = process.versions.modules
    const version = process.versions.node.replaceAll('.', '\\.')
    const cases = [
      [
        'no binary for this Node',
        [binary('115'), binary('127'), binary('137')].filter(name => name !== binary(here)),
        "Cannot find module './uws_linux_x64_120.node'",
        `uWebSockets\\.js has no binary for Node ${version} on ${platform} ${arch}: install Node \\d\\d( or|,) .*\\d\\d`,
      ],
      [
        'no binary for this system',
        ['uws_plan9_mips_115.node'],
        "Cannot find module './uws_linux_x64_115.node'",
        `uWebSockets\\.js has no binary for ${platform} on ${arch}: it runs on Linux with glibc, macOS and Windows`,
      ],
      [
        'a C library that is too old',
        [binary(here)],
        "/lib/libc.so.6: version `GLIBC_2.99' not found (required by uws.node)",
        `uWebSockets\\.js for Node ${version} on ${platform} ${arch} needs glibc 2\\.99 or later, and this system has 2\\.\\d+: install .*`,
      ],
      [
        'anything else',
        [binary(here)],
        'Error: invalid ELF header',
        `uWebSockets\\.js cannot be loaded by Node ${version} on ${platform} ${arch}: .*invalid ELF header`,
      ],
    ] as const
    for (const [name, binaries, message, expected] of cases) {
      if (name.startsWith('a C library') && platform !== 'linux') continue
      fakeUWebSockets(binaries, loadError + message)
      t.match(await node(main, 'serve'), { code: 1, stdout: '', stderr: oneLine(new RegExp(expected)) }, name)
      t.match(
        await node(main, '--version'),
        { code: 0, stdout: `${manifest.version}\n` },
        `${name}: --version works`,
      )
    }
  },
)

t.test('musl is distinguished from a glibc that is too old', async t => {
  if (platform !== 'linux') return
  fakeUWebSockets(
    [binary(process.versions.modules)],
    `${loadError}Error relocating uws.node: __strdup: symbol not found`,
  )
  const musl = join(project, 'musl.cjs')
  writeFileSync(musl, 'process.report.getReport = () => ({ header: {} })')
  t.match(await node('--require', musl, main, 'serve'), {
    code: 1,
    stderr: oneLine(/uWebSockets\.js needs glibc, which this system does not have .*/),
  })
})

t.test('every command but --version reports a Node that is too old', async t => {
  const old = join(project, 'old.cjs')
  writeFileSync(
    old,
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.8', modules: '108' } })",
  )
  const expected = oneLine(
    /Node 18\.20\.8 is too old: install Node 20\.18\.1 or later, such as Node 22 or 24/,
  )
  for (const command of ['serve', 'user', 'key', 'token', 'health', '--help'])
    t.match(await node('--require', old, main, command), { code: 1, stdout: '', stderr: expected }, command)
  t.match(await node('--require', old, main, '--version'), { code: 0, stdout: `${manifest.version}\n` })
})

t.test('the files that an old Node reads first have no newer syntax', async t => {
  for (const file of ['main.js', 'cli/node-support.js', 'cli/stop-signals.js']) {
    const text = readFileSync(join(root, 'dist', file), 'utf8').replaceAll(/\/\/.*|\/\*[\s\S]*?\*\//g, '')
    t.notMatch(text, /\?\.|\?\?|\|\|=|&&=|#\w|\bawait\b/, file)
  }
})

t.test('engines lists the Node versions that have a binary and run the code', async t => {
  const nodeOf: Readonly<Record<string, string>> = { 115: '20', 127: '22', 131: '23', 137: '24', 141: '25' }
  const names = readdirSync(join(root, 'node_modules/uWebSockets.js'))
  const majors = new Set(
    names.flatMap(name => nodeOf[/^uws_linux_x64_(\d+)\.node$/.exec(name)?.[1] ?? ''] ?? []),
  )
  const ranges = [...majors].sort().map(major => (major === '20' ? '^20.18.1' : `^${major}.0.0`))
  t.equal(manifest.engines.node, ranges.join(' || '))
  for (const version of ['20.18.1', '20.18.2', '20.20.0', '22.0.0', '25.9.0', '26.1.0'])
    t.equal(unsupportedNode(version), undefined, version)
  for (const version of ['12.22.0', '18.20.8', '20.9.0', '20.18.0'])
    t.match(unsupportedNode(version), version)
})
