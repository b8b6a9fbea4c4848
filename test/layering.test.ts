import { readdirSync, readFileSync } from 'node:fs'
import { dirname, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = fileURLToPath(new URL('../src', import.meta.url))

/**
 * The stair, from the ground up: a room imports from its own floor and from those below, never from
 * above.
 */
const floors: readonly (readonly string[])[] = [
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
 * Rooms beside the stair, and all that they may import: what a browser loads, and what must not
 * know the server.
 */
const beside: Readonly<Record<string, RegExp>> = {
  attack: /^attack\//,
  client: /^(client\/|protocol\.ts$)/,
  console: /^(console\/|client\/|message-pack\/|protocol\.ts$)/,
}

/**
 * Arrows still to be removed. An arrow that is gone fails the test until it is taken off the list.
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
 * What a file imports, types included: files under src as their path there, all others by their
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

const roomOf = (file: string): string => file.split('/')[0] ?? ''
const floorOf = (file: string): number => floors.findIndex(rooms => rooms.includes(roomOf(file)))
const nameOf = ({ from, to }: Arrow): string => `${from} -> ${to}`

const leadsUp = ({ from, to }: Arrow): boolean => {
  const allowed = beside[roomOf(from)]
  if (allowed !== undefined) return !allowed.test(to)
  return floorOf(to) > floorOf(from)
}

/** Whether arrows lead from one of these places to another, directly or through others. */
const leads = (from: string, to: string, next: ReadonlyMap<string, ReadonlySet<string>>): boolean => {
  const seen = new Set([from])
  for (const place of seen) {
    if (place === to) return true
    for (const neighbour of next.get(place) ?? []) seen.add(neighbour)
  }
  return false
}

/** The arrows that are part of a circle of places. */
const inCircle = (all: readonly Arrow[], placeOf: (file: string) => string): Arrow[] => {
  const next = new Map<string, Set<string>>()
  const crossing = all.filter(({ from, to }) => placeOf(from) !== placeOf(to))
  for (const { from, to } of crossing)
    next.set(placeOf(from), (next.get(placeOf(from)) ?? new Set()).add(placeOf(to)))
  return crossing.filter(({ from, to }) => leads(placeOf(to), placeOf(from), next))
}

t.test('every room is on the stair or beside it', async t => {
  const rooms = new Set(filesUnder('.').map(roomOf))
  t.strictSame(
    [...rooms].filter(room => floorOf(room) < 0 && beside[room] === undefined),
    [],
  )
})

t.test('the first line of one file says what its room is for, and what may not come in', async t => {
  for (const room of new Set(
    filesUnder('.')
      .map(roomOf)
      .filter(name => !isSource(name)),
  )) {
    const headed = filesUnder(room).filter(file => sourceOf(file).startsWith(`// ${room}/: `))
    t.equal(headed.length, 1, `${room}: ${headed.join(', ')}`)
  }
})

t.test('imports go down: no arrow back up, no circle of rooms or of files', async t => {
  t.ok(arrows.length > 300, 'the imports are found')
  const wrong = arrows.filter(leadsUp)
  const others = arrows.filter(arrow => !leadsUp(arrow))
  const names = new Set(
    [...wrong, ...inCircle(others, roomOf), ...inCircle(others, file => file)].map(nameOf),
  )
  t.strictSame(
    [...names].filter(name => !known.includes(name)),
    [],
    'no arrow back up and no circle',
  )
  t.strictSame(
    known.filter(name => !names.has(name)),
    [],
    'none is listed that is gone',
  )
})

/** All that a file needs, directly or through others, each with the way that leads there. */
const reach = (file: string): Map<string, string> => {
  const ways = new Map([[file, file]])
  for (const [at, way] of ways)
    if (isSource(at))
      for (const next of importsOf(at)) if (!ways.has(next)) ways.set(next, `${way} > ${next}`)
  return ways
}

const edges =
  /^(uWebSockets\.js|ws|(node:)?(fs|net|http|http2|https|tls|dgram|child_process|cluster)(\/.*)?)$/

t.test('the core is pure: no server, no files, no network', async t => {
  const core = ['message-pack', 'ticket', 'replay', 'token'].flatMap(filesUnder)
  t.ok(core.length >= 10)
  for (const file of core)
    t.strictSame(
      [...reach(file)].filter(([name]) => edges.test(name)).map(([, way]) => way),
      [],
      file,
    )
  t.ok(reach('index.ts').has('uWebSockets.js'), 'the walk finds the server elsewhere')
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
  for (const [room, allowed] of [
    ['client', /^(client\/.+|protocol)\.ts$/],
    // The build puts console/page/buffer.ts in the place of node:buffer.
    ['console/page', /^((client|console|message-pack)\/.+|protocol)\.ts$|^node:buffer$/],
  ] as const) {
    const loaded = filesUnder(room)
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
