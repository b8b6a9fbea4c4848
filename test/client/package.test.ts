import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import t from 'tap'
import { startServer, temporaryDirectory } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const execute = promisify(execFile)

/** Bundles this line for a page. */
async function bundle(line: string): Promise<Buffer> {
  const { outputFiles } = await build({
    stdin: { contents: line, resolveDir: root },
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
  })
  return Buffer.from(outputFiles[0]?.contents ?? [])
}

t.test('its size is as stated in the documentation', async t => {
  const bytes = gzipSync(await bundle(`export { connect } from 'ticketgate/client'`), { level: 9 }).length
  t.ok(bytes > 1000 && bytes <= 5700, `${bytes} bytes`)
  const stated = Number(
    /([\d.]+) KB minified and gzipped/.exec(readFileSync(join(root, 'docs/browser-client.md'), 'utf8'))?.[1],
  )
  t.ok(Math.abs(stated - bytes / 1000) <= 0.1, `the page says ${stated} KB`)
})

t.test("Node's own WebSocket and fetch are sufficient", async t => {
  const server = await startServer(t)
  const program = `
    import { connect } from 'ticketgate/client'
    const gate = connect({ url: process.env.URL, channel: 'lobby', getToken: () => process.env.TOKEN })
    gate.on('open', async ({ user, channel }) => {
      await gate.publish('hello')
      console.log(user, 'in', channel)
      await gate.close()
    })
  `
  // Node 22 and later do not need the flag.
  const args = ['--experimental-websocket', '--no-warnings', '--input-type=module', '--eval', program]
  const env = { PATH: process.env.PATH, URL: server.url, TOKEN: tokenFor('maggie') }
  const { stdout } = await execute(process.execPath, args, { cwd: root, env })
  t.equal(stdout, 'maggie in lobby\n', 'it works, and the process can exit')
})

t.test('unused parts are tree-shaken', async t => {
  const bytes = (await bundle(`export { GateError } from 'ticketgate/client'`)).length
  t.ok(bytes > 0 && bytes < 500, `${bytes} bytes`)
})

t.test("its types are compatible with the browser's and Node's, and require neither", async t => {
  const directory = temporaryDirectory(t)
  const page = `
    import { connect } from '${root}dist/client/index.js'
    const gate = connect<{ text: string }>({ url: '/', getToken: () => '', WebSocket, fetch })
    gate.on('message', ({ data }) => { const text: string = data.text })
    gate.on('close', ({ code }) => { const name: string = code })
    // @ts-expect-error there is no such event
    gate.on('nothing', () => {})
    // @ts-expect-error it says what may be published
    void gate.publish({ number: 1 })
    export async function read() { for await (const { data } of gate) return data.text.length }
  `
  const strict = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--noEmit']
  const cases = [
    ['browser', ['--lib', 'es2023,dom', '--types', ''], page],
    ['node', ['--lib', 'es2023', '--types', 'node', '--typeRoots', `${root}node_modules/@types`], page],
    ['neither', ['--lib', 'es2023', '--types', ''], `import '${root}dist/client/index.js'`],
  ] as const
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}')
  for (const [name, flags, text] of cases) {
    const file = join(directory, `${name}.ts`)
    writeFileSync(file, text)
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await execute(process.execPath, [tsc, ...strict, ...flags, file], {
      cwd: directory,
    }).catch((error: { stdout: string }) => error)
    t.equal(stdout, '', name)
  }
})
