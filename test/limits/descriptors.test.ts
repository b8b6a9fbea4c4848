import { execFileSync } from 'node:child_process'
import t from 'tap'
import { connectionsWithin, descriptorLimit } from '../../src/config/descriptors.js'

t.test('the descriptor limit is that of the process', async t => {
  const module = new URL('../../src/config/descriptors.ts', import.meta.url).href
  const script = `import { descriptorLimit } from '${module}'; process.stdout.write(String(descriptorLimit()))`
  const told = execFileSync('sh', [
    '-c',
    'ulimit -n 300 && exec "$@"',
    'sh',
    process.execPath,
    '--import=tsx',
    '--input-type=module',
    '-e',
    script,
  ])
  t.equal(told.toString(), '300')
})

t.test('reading the limit does not change how the application configured process.report', async t => {
  const { report } = process
  const before: unknown = Reflect.get(report, 'excludeNetwork')
  t.teardown(() => Reflect.set(report, 'excludeNetwork', before))
  Reflect.set(report, 'excludeNetwork', false)
  t.ok((descriptorLimit() ?? 1) > 0)
  t.equal(Reflect.get(report, 'excludeNetwork'), false)
})

t.test('the connection cap keeps a reserve of the descriptor limit', async t => {
  const cases = [
    ['no limit is no cap', undefined, 0],
    ['64 are kept back of a small limit', 1024, 960],
    ['64 are 5 % of 1280', 1280, 1216],
    ['5 % are kept back of a large one', 20_000, 19_000],
    ['5 % are rounded up', 1281, 1216],
    ['the reserve never leaves 0, which would mean no cap', 64, 1],
    ['nor a negative number', 10, 1],
  ] as const
  for (const [name, limit, connections] of cases) t.equal(connectionsWithin(limit), connections, name)
  const countedApart = 256
  t.equal(connectionsWithin(1024, { countedApart }), 704, 'descriptors for other uses are subtracted')
  t.equal(connectionsWithin(300, { countedApart }), 1)
  t.equal(connectionsWithin(undefined, { countedApart }), 0)
  t.equal(connectionsWithin(1024, { hasTunnels: true }), 480, 'a socket through a tunnel takes two')
  t.equal(connectionsWithin(1024, { countedApart, hasTunnels: true }), 352)
  t.equal(connectionsWithin(65, { hasTunnels: true }), 1)
})
