import { execFile } from 'node:child_process'
import { cpSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import '../support/built.js'
import { openBrowser, openPage } from '../support/browser.js'
import { runIn } from '../support/example.js'
import { fileNeeds } from '../support/programs.js'
import { startServer, temporaryDirectory } from '../support/server.js'
import { serveDirectory } from '../support/static-server.js'
import { tokenFor } from '../support/tokens.js'

fileNeeds(t, 'chromium')

const root = fileURLToPath(new URL('../../', import.meta.url))
const directory = temporaryDirectory(t)

// Outside the repository, so that none of its files is found by accident; the client is a tarball.
const project = join(directory, 'project')
const source = join(directory, 'ticketgate-client')
const install = ['--no-audit', '--no-fund', '--ignore-scripts']
cpSync(fileURLToPath(new URL('toolchains/', import.meta.url)), project, { recursive: true })
runIn(root, process.execPath, '--import=tsx', 'deploy/npm/build-client.ts', source)
runIn(source, 'npm', 'pack', '--pack-destination', directory)
runIn(project, 'npm', 'ci', ...install)
const tarball = readdirSync(directory).find(name => name.endsWith('.tgz')) ?? ''
runIn(project, 'npm', 'install', '--no-save', ...install, join(directory, tarball))

for (const tool of ['webpack', 'vite', 'angular'])
  t.test(`the client as bundled by ${tool}`, async t => {
    runIn(project, 'npm', 'run', tool)
    const built = join(project, 'built', tool)
    // webpack writes no page of its own.
    if (tool === 'webpack')
      writeFileSync(join(built, 'index.html'), '<body><script type="module" src="page.js"></script>')
    const origin = await serveDirectory(t, built)
    const { url } = await startServer(t, { env: { TICKETGATE_ORIGINS: origin } })
    const browser = await openBrowser(t)
    const { page, errors } = await openPage(browser, `${origin}/#url=${url}&token=${tokenFor('maggie')}`)
    await page.getByText('maggie said hello').waitFor()
    t.strictSame(errors, [])
  })

t.test('the client in Jest, as an ES module', async t => {
  const { url } = await startServer(t)
  const env = { ...process.env, GATE: url, TOKEN: tokenFor('maggie') }
  const { stderr } = await promisify(execFile)('npm', ['run', 'jest'], { cwd: project, env })
  t.match(stderr, /Tests: +1 passed, 1 total/)
})
