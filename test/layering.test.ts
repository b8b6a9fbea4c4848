import { readdirSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../src', import.meta.url))

const filesUnder = (directory: string): string[] =>
  readdirSync(resolve(root, directory), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => relative(root, resolve(root, directory, name)))

const sourceOf = (file: string): string => readFileSync(resolve(root, file), 'utf8')

const specifier =
  /(?:^|[;}\s])(?:import|export)\b(?:[^'";]*?\bfrom)?\s*['"]([^'"]+)['"]|\bimport\s*\(\s*['"]([^'"]+)['"]/gm

/** What a file imports, types included: files under src as their path there, all others by their name. */
const importsOf = (file: string): string[] =>
  [...sourceOf(file).matchAll(specifier)].map(([, fixed, lazy]) => {
    const name = fixed ?? lazy ?? ''
    return name.startsWith('.')
      ? relative(root, resolve(root, dirname(file), name)).replace(/\.js$/, '.ts')
      : name
  })

/** All that a file needs, directly or through others, each with the way that leads there. */
const reach = (file: string): Map<string, string> => {
  const ways = new Map([[file, file]])
  for (const [at, way] of ways)
    if (at.endsWith('.ts'))
      for (const next of importsOf(at)) if (!ways.has(next)) ways.set(next, `${way} > ${next}`)
  return ways
}

const edges =
  /^(uWebSockets\.js|ws|(node:)?(fs|net|http|http2|https|tls|dgram|child_process|cluster)(\/.*)?)$/

/** What the core may have of src: itself, the clock and the words. */
const inner = /^(ticket|replay|token)\/|^(clock|errors|protocol)\.ts$/

const isForbidden = (name: string): boolean => edges.test(name) || (name.endsWith('.ts') && !inner.test(name))

t.test('the walk sees what there is to see', async t => {
  const gate = reach('gate/build.ts')
  for (const expected of [
    'uWebSockets.js',
    'ticket/verifier.ts',
    'msgpackr',
    'node:crypto',
    'http/address.ts',
  ])
    t.ok(gate.has(expected), `gate/build.ts reaches ${expected}`)
  const forbidden = [...gate.keys()].filter(isForbidden)
  for (const expected of [
    'uWebSockets.js',
    'gate/build.ts',
    'http/address.ts',
    'socket/handshake.ts',
    'node:fs/promises',
  ])
    t.ok(forbidden.includes(expected), `${expected} is nothing for the core`)
})

t.test('the core is pure: no server, no files, no network, nothing of the layers around it', async t => {
  const core = ['ticket', 'replay', 'token'].flatMap(filesUnder)
  t.ok(core.length >= 10)
  for (const file of core) {
    const forbidden = [...reach(file)].filter(([name]) => isForbidden(name))
    t.strictSame(
      forbidden.map(([, way]) => way),
      [],
      file,
    )
  }
})

t.test('the wire words import nothing, so that a browser can have them', async t => {
  t.strictSame(importsOf('protocol.ts'), [])
})

t.test('the client has nothing but itself and the wire words, so that a browser can have it', async t => {
  const client = filesUnder('client')
  t.ok(client.length >= 5)
  for (const file of client)
    t.strictSame(
      [...reach(file).keys()].filter(name => !/^(client\/|protocol\.ts$)/.test(name)),
      [],
      file,
    )
})

t.test('the page of the console is a page: it has the client, the wire words and itself', async t => {
  for (const file of filesUnder('console/page'))
    t.strictSame(
      [...reach(file).keys()].filter(
        name => !/^(client\/|console\/(page\/|figures\.ts|ticket-layout\.ts)|protocol\.ts$)/.test(name),
      ),
      [],
      file,
    )
})

t.test('nothing is exported as default', async t => {
  for (const file of filesUnder('.'))
    t.notMatch(sourceOf(file), /\bexport\s+default\b|\bas\s+default\b/, file)
})
