/** Builds the package ticketgate-client, the client without the server, into a directory: `npm run build:client`. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../../', import.meta.url))
const target = process.argv[2] ?? join(root, 'dist-client')
const minified = 'ticketgate-client.min.js'

const server = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const entry = { types: './client/index.d.ts', default: './client/index.js' }

const manifest = {
  name: 'ticketgate-client',
  version: server.version,
  description:
    'The client of ticketgate: a WebSocket that gets a fresh ticket, reconnects, renews and resubscribes.',
  license: server.license,
  keywords: ['websocket', 'ticket', 'authentication', 'reconnect', 'browser', 'ticketgate'],
  type: 'module',
  sideEffects: false,
  exports: {
    '.': entry,
    [`./${minified}`]: { types: entry.types, default: `./${minified}` },
    './package.json': './package.json',
  },
  types: entry.types,
  unpkg: `./${minified}`,
  jsdelivr: `./${minified}`,
}

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })
const modules = readdirSync(join(root, 'dist/client'), { recursive: true, encoding: 'utf8' })
const files = [...modules.map(name => `client/${name}`), 'protocol.js', 'protocol.d.ts']
for (const file of files.filter(name => /\.(js|d\.ts)$/.test(name)))
  cpSync(join(root, 'dist', file), join(target, file))
cpSync(join(root, 'LICENSE'), join(target, 'LICENSE'))
cpSync(fileURLToPath(new URL('client-readme.md', import.meta.url)), join(target, 'README.md'))
writeFileSync(join(target, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`)
await build({
  entryPoints: [join(root, 'src/client/index.ts')],
  outfile: join(target, minified),
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  sourcemap: true,
  logLevel: 'warning',
})
