import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import '../support/built.js'
import { request, requestUpgrade } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { needs, pathOf } from '../support/programs.js'
import { gatePath } from '../support/tokens.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'ticketgate-package-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const modules = join(directory, 'node_modules')
mkdirSync(modules)

const [packed] = JSON.parse(
  execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }),
) as [{ readonly filename: string; readonly files: readonly { readonly path: string }[] }]

const paths = packed.files.map(({ path }) => path)
const documents = paths.filter(path => path.endsWith('.md'))

/** The targets of a document's relative links, as paths from the root, without anchors. */
const targetsOf = (document: string): string[] =>
  [...readFileSync(join(root, document), 'utf8').matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target.replace(/#.*/, ''))
    .filter(target => target !== '' && !/^[a-z]+:/.test(target))
    .map(target => relative(root, resolve(root, dirname(document), target)))

t.test('every link of a packaged document leads to a packaged file', async t => {
  t.ok(documents.includes('README.md'))
  for (const document of documents)
    t.strictSame(
      targetsOf(document).filter(target => !paths.includes(target)),
      [],
      document,
    )
})

t.test('the package contains the build and the files its documents link to, nothing else', async t => {
  for (const path of [
    'dist/main.js',
    'dist/index.d.ts',
    'dist/library/index.js',
    'dist/gate/worker.js',
    'LICENSE',
  ])
    t.ok(paths.includes(path), path)
  const linked = new Set(documents.flatMap(targetsOf))
  t.strictSame(
    paths.filter(
      path => !linked.has(path) && !/^(dist\/.*|examples\/.*|package\.json|LICENSE|README\.md)$/.test(path),
    ),
    [],
  )
})

const needed = needs('tar')
t.test(
  'the example for any Node server runs with the package and without uWebSockets.js',
  needed,
  async t => {
    execFileSync(pathOf('tar'), ['-xzf', join(directory, packed.filename), '-C', modules])
    renameSync(join(modules, 'package'), join(modules, 'ticketgate'))
    const { dependencies } = JSON.parse(readFileSync(join(modules, 'ticketgate/package.json'), 'utf8'))
    // The example depends on ws itself.
    for (const name of [...Object.keys(dependencies), 'ws'])
      if (name !== 'uWebSockets.js') {
        mkdirSync(dirname(join(modules, name)), { recursive: true })
        symlinkSync(join(root, 'node_modules', name), join(modules, name))
      }
    const page = readFileSync(join(root, 'docs/embedding.md'), 'utf8')
    const example = /## Tickets in any Node server\n.*?```js\n(.*?)```/s.exec(page)?.[1] ?? ''
    const listen = 'server.listen(8080)'
    t.ok(example.includes(listen))
    const file = join(directory, 'example.mjs')
    writeFileSync(
      file,
      example.replace(listen, "server.listen(0, '127.0.0.1', () => console.log(server.address().port))"),
    )

    const child = spawn(process.execPath, [file], { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(async () => {
      if (child.exitCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
    const [port] = await once(createInterface(child.stdout), 'line')
    const base = `http://127.0.0.1:${port}`
    const { text: ticket } = await request(base, '/')
    const path = gatePath(ticket)
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => requestUpgrade(base, path)))
    t.equal(
      outcomes.filter(({ status }) => status === 101).length,
      1,
      'of twenty sockets with one ticket, one opens',
    )
    isProblem(t, await requestUpgrade(base, path), '401 ticket_used')
    for (const wrong of ['/', '/?ticket=x', `${path}A`])
      isProblem(t, await requestUpgrade(base, wrong), '401 ticket_invalid', wrong)
  },
)
