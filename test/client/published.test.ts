import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import t from 'tap'
import '../support/built.js'
import { openBrowser, openPage } from '../support/browser.js'
import { needs } from '../support/programs.js'
import { startServer, temporaryDirectory } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const execute = promisify(execFile)
const directory = temporaryDirectory(t)
const source = join(directory, 'ticketgate-client')

execFileSync(process.execPath, ['--import=tsx', 'deploy/npm/build-client.ts', source], { cwd: root })

/** Packs a directory as npm publishes it, and returns the path of the tarball. */
const pack = (from: string): string => {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', directory]
  const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore']
  const [{ filename = '' } = {}] = JSON.parse(
    execFileSync('npm', args, { cwd: from, encoding: 'utf8', stdio }),
  ) as { readonly filename: string }[]
  return join(directory, filename)
}

const client = pack(source)
const server = pack(root)

// An empty project, in which the client is installed as a user would.
const project = join(directory, 'project')
mkdirSync(project)
writeFileSync(join(project, 'package.json'), '{"type":"module"}')
execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', client], {
  cwd: project,
  stdio: 'ignore',
})
const installed = join(project, 'node_modules/ticketgate-client')

t.test('publint finds nothing wrong with either package', async t => {
  for (const [name, tarball] of [
    ['ticketgate-client', client],
    ['ticketgate', server],
  ] as const) {
    const { buffer, byteOffset, byteLength } = readFileSync(tarball)
    const data = (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength)
    const { messages, pkg } = await publint({ pack: { tarball: data }, strict: true })
    t.strictSame(
      messages.map(message => formatMessage(message, pkg)),
      [],
      name,
    )
  }
})

t.test('types resolve correctly everywhere except in CommonJS, which is not supported', async t => {
  for (const tarball of [client, server]) {
    const analysis = await checkPackage(createPackageFromTarballData(readFileSync(tarball)))
    if (!analysis.types) throw new Error('it has no types')
    const problems = analysis.problems.filter(
      problem =>
        // Node 10 does not support `exports`; a CommonJS module must use import().
        !('resolutionKind' in problem && problem.resolutionKind === 'node10') &&
        problem.kind !== 'CJSResolvesToESM',
    )
    t.strictSame(problems, [])
  }
})

const program = (name: string, url: string): string => `
  import { connect } from '${name}'
  const gate = connect({ url: '${url}', channel: 'lobby', getToken: () => '${tokenFor('maggie')}' })
  const { user, channel } = await new Promise(resolve => gate.on('open', resolve))
  await gate.publish('hello')
  await gate.close()
  console.log(user, 'in', channel)
  globalThis.document?.body.append('done')
`

t.test('it works in Node, as modules and as one file', async t => {
  const { url } = await startServer(t)
  for (const name of ['ticketgate-client', 'ticketgate-client/ticketgate-client.min.js']) {
    const file = join(project, 'main.js')
    writeFileSync(file, program(name, url))
    const { stdout } = await execute(process.execPath, ['--experimental-websocket', '--no-warnings', file])
    t.equal(stdout, 'maggie in lobby\n', name)
  }
  const common = `import('ticketgate-client').then(it => console.log(typeof it.connect))`
  const { stdout } = await execute(process.execPath, ['--input-type=commonjs', '--eval', common], {
    cwd: project,
  })
  t.equal(stdout, 'function\n', 'it works from CommonJS')
})

t.test('it works in a page, as one file and bundled', needs('chromium'), async t => {
  const pages = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://x').pathname
    const isPage = path.endsWith('.html')
    response.setHeader('content-type', isPage ? 'text/html' : 'text/javascript')
    response.end(
      isPage ? `<body><script type="module" src="${path.replace('.html', '.js')}"></script>` : files[path],
    )
  }).listen(0, '127.0.0.1')
  t.teardown(() => pages.close())
  await once(pages, 'listening')
  const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`
  const { url } = await startServer(t, { env: { TICKETGATE_ORIGINS: origin } })
  const { outputFiles } = await build({
    stdin: { contents: program('ticketgate-client', url), resolveDir: project },
    bundle: true,
    format: 'esm',
    write: false,
  })
  const files: Record<string, string> = {
    '/client.min.js': readFileSync(join(installed, 'ticketgate-client.min.js'), 'utf8'),
    '/plain.js': program('./client.min.js', url),
    '/bundled.js': outputFiles[0]?.text ?? '',
  }
  const browser = await openBrowser(t)
  for (const name of ['plain', 'bundled']) {
    const { page, errors } = await openPage(browser, `${origin}/${name}.html`)
    await page.getByText('done').waitFor()
    t.strictSame(errors, [], name)
  }
})

t.test('the single file has the stated size, and a source map', async t => {
  const text = readFileSync(join(installed, 'ticketgate-client.min.js'))
  const stated = Number(
    /ticketgate-client\.min\.js` \(([\d.]+) KB gzipped/.exec(
      readFileSync(join(root, 'docs/browser-client.md'), 'utf8'),
    )?.[1],
  )
  t.ok(
    Math.abs(stated - gzipSync(text, { level: 9 }).length / 1000) <= 0.1,
    `${gzipSync(text, { level: 9 }).length} bytes, stated ${stated} KB`,
  )
  const { sources } = JSON.parse(readFileSync(join(installed, 'ticketgate-client.min.js.map'), 'utf8'))
  t.ok(sources.some((path: string) => path.endsWith('src/client/connect.ts')))
})
