import { readdirSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../src', import.meta.url))

/**
 * The layers, from the bottom up: a folder imports from its own layer and those below, never from
 * above.
 */
const layers: readonly (readonly string[])[] = [
  ['protocol.ts', 'errors.ts', 'clock.ts'],
  ['ticket', 'message-pack'],
  ['replay', 'token', 'config', 'library'],
  ['redis', 'disk', 'users', 'wire', 'telemetry', 'limits', 'providers'],
  ['http'],
  ['admission'],
  ['routes', 'socket', 'tunnel'],
  ['cli', 'gate'],
  ['main.ts', 'index.ts'],
]

/**
 * Folders outside the layers, and everything that they may import: code for browsers, and code that
 * must not depend on the server.
 */
const outside: Readonly<Record<string, RegExp>> = {
  attack: /^attack\//,
  client: /^(client\/|protocol\.ts$)/,
  console: /^(console\/|client\/|message-pack\/|protocol\.ts$)/,
}

/**
 * Wrong imports still to be removed. Once one is gone, the test fails until it is off this list.
 */
const known: readonly string[] = []

const filesUnder = (directory: string): string[] =>
  readdirSync(resolve(root, directory), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => relative(root, resolve(root, directory, name)))

const sourceOf = (file: string): string => readFileSync(resolve(root, file), 'utf8')

const specifier =
  /(?:^|[;}\s])(?:import|export)\b(?:[^'";]*?\bfrom)?\s*['"]([^'"]+)['"]|\bimport\s*\(\s*['"]([^'"]+)['"]/gm

/**
 * What a file imports, types included: files under src by their path there, everything else by
 * name.
 */
const importsOf = (file: string): string[] =>
  [...sourceOf(file).matchAll(specifier)].map(([, fixed, lazy]) => {
    const name = fixed ?? lazy ?? ''
    return name.startsWith('.')
      ? relative(root, resolve(root, dirname(file), name)).replace(/\.js$/, '.ts')
      : name
  })

interface Arrow {
  readonly from: string
  readonly to: string
}

const isSource = (name: string): boolean => name.endsWith('.ts')

/** All imports of one file of src by another. */
const arrows: readonly Arrow[] = filesUnder('.').flatMap(from =>
  importsOf(from)
    .filter(isSource)
    .map(to => ({ from, to })),
)

const folderOf = (file: string): string => file.split('/')[0] ?? ''
const layerOf = (file: string): number => layers.findIndex(folders => folders.includes(folderOf(file)))
const nameOf = ({ from, to }: Arrow): string => `${from} -> ${to}`

const leadsUp = ({ from, to }: Arrow): boolean => {
  const allowed = outside[folderOf(from)]
  if (allowed !== undefined) return !allowed.test(to)
  return layerOf(to) > layerOf(from)
}

/** Whether arrows lead from one node to another, directly or through others. */
const leads = (from: string, to: string, next: ReadonlyMap<string, ReadonlySet<string>>): boolean => {
  const seen = new Set([from])
  for (const node of seen) {
    if (node === to) return true
    for (const neighbour of next.get(node) ?? []) seen.add(neighbour)
  }
  return false
}

/** The arrows that are part of a cycle of nodes, which are folders or files. */
const inCycle = (all: readonly Arrow[], nodeOf: (file: string) => string): Arrow[] => {
  const next = new Map<string, Set<string>>()
  const crossing = all.filter(({ from, to }) => nodeOf(from) !== nodeOf(to))
  for (const { from, to } of crossing)
    next.set(nodeOf(from), (next.get(nodeOf(from)) ?? new Set()).add(nodeOf(to)))
  return crossing.filter(({ from, to }) => leads(nodeOf(to), nodeOf(from), next))
}

t.test('every folder is in a layer, or is one of those outside', async t => {
  const folders = new Set(filesUnder('.').map(folderOf))
  t.strictSame(
    [...folders].filter(folder => layerOf(folder) < 0 && outside[folder] === undefined),
    [],
  )
})

t.test('in each folder, the first line of exactly one file says what the folder is for', async t => {
  for (const folder of new Set(
    filesUnder('.')
      .map(folderOf)
      .filter(name => !isSource(name)),
  )) {
    const headed = filesUnder(folder).filter(file => sourceOf(file).startsWith(`// ${folder}/: `))
    t.equal(headed.length, 1, `${folder}: ${headed.join(', ')}`)
  }
})

t.test('no import goes to a higher layer, and no folders or files form a cycle', async t => {
  t.ok(arrows.length > 300, 'the imports are found')
  const wrong = arrows.filter(leadsUp)
  const others = arrows.filter(arrow => !leadsUp(arrow))
  const names = new Set(
    [...wrong, ...inCycle(others, folderOf), ...inCycle(others, file => file)].map(nameOf),
  )
  t.strictSame(
    [...names].filter(name => !known.includes(name)),
    [],
    'no import goes up or is part of a cycle',
  )
  t.strictSame(
    known.filter(name => !names.has(name)),
    [],
    'every import listed as known still exists',
  )
})

/** Everything that a file imports, directly or through others, each with the path to it. */
const reach = (file: string): Map<string, string> => {
  const paths = new Map([[file, file]])
  for (const [at, path] of paths)
    if (isSource(at))
      for (const next of importsOf(at)) if (!paths.has(next)) paths.set(next, `${path} > ${next}`)
  return paths
}

const edges =
  /^(uWebSockets\.js|ws|(node:)?(fs|net|http|http2|https|tls|dgram|child_process|cluster)(\/.*)?)$/

t.test('the core is pure: no server, no files, no network', async t => {
  const core = ['message-pack', 'ticket', 'replay', 'token'].flatMap(filesUnder)
  t.ok(core.length >= 10)
  for (const file of core)
    t.strictSame(
      [...reach(file)].filter(([name]) => edges.test(name)).map(([, path]) => path),
      [],
      file,
    )
  t.ok(reach('index.ts').has('uWebSockets.js'), 'the search does find the server from index.ts')
})

t.test('only an exchange holds a uWS response: it knows when a response is safe', async t => {
  const holders = filesUnder('.').filter(file => /\bHttpResponse\b|\(res\b|\bres\.\w+\(/.test(sourceOf(file)))
  t.strictSame(holders.sort(), ['http/answer.ts', 'http/exchange.ts'])
  t.strictSame(
    filesUnder('.').filter(file => importsOf(file).includes('http/answer.ts')),
    ['http/exchange.ts'],
  )
})

t.test('browser code imports nothing from npm or Node', async t => {
  t.strictSame(importsOf('protocol.ts'), [])
  for (const [folder, allowed] of [
    ['client', /^(client\/.+|protocol)\.ts$/],
    // The build replaces node:buffer with console/page/buffer.ts.
    ['console/page', /^((client|console|message-pack)\/.+|protocol)\.ts$|^node:buffer$/],
  ] as const) {
    const loaded = filesUnder(folder)
    t.ok(loaded.length >= 5)
    for (const file of loaded)
      t.strictSame(
        [...reach(file).keys()].filter(name => !allowed.test(name)),
        [],
        file,
      )
  }
})

t.test('nothing is exported as default', async t => {
  for (const file of filesUnder('.'))
    t.notMatch(sourceOf(file), /\bexport\s+default\b|\bas\s+default\b/, file)
})
