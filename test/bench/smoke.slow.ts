import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Results } from '../../bench/figures/summary.js'
import { scenarios } from '../../bench/scenarios/index.js'
import '../support/built.js'
import { fileNeeds, needs } from '../support/programs.js'

fileNeeds(t, 'gcc')

const program = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))

/** Rows without a floor: a floor checks nothing, and has no admin listener and no MessagePack. */
const withoutFloor = /^refused|admin|MessagePack/

/** Runs the bench. Returns everything that it printed. */
const bench = async (...args: string[]): Promise<{ code: number; output: string }> => {
  const child = spawn(process.execPath, ['--import=tsx', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', text => {
      output += text
    })
  const [code] = await once(child, 'close')
  return { code, output }
}

t.test('the smallest run measures every row of floor and ticketgate', async t => {
  const file = join(t.testdir(), 'results.json')
  const targets = ['--target', 'floor', '--target', 'ticketgate']
  const played = [...scenarios.map(one => one.name), 'scaling', 'nodes'].flatMap(name => ['--scenario', name])
  const { code, output } = await bench(
    ...targets,
    ...played,
    '--rounds',
    '1',
    '--scale',
    '0.01',
    '--json',
    file,
  )
  t.equal(code, 0, output)
  const { summary, gaps, curves } = JSON.parse(readFileSync(file, 'utf8')) as Results
  const rows = scenarios.flatMap(scenario => scenario.rows.map(row => row.name))
  for (const row of rows)
    for (const target of ['floor', 'ticketgate']) {
      if (target === 'floor' && withoutFloor.test(row)) continue
      const figure = summary.find(one => one.row === row && one.target === target)
      const gap = gaps.find(one => one.row === row && one.target === target)
      const isMeasured = figure !== undefined && Number.isFinite(figure.value.median)
      t.ok(isMeasured || (target === 'floor' && gap !== undefined), `${row}: ${target}`)
    }
  t.equal(curves.length, 5)
  for (const { name, sizes, series } of curves)
    for (const [label, values] of Object.entries(series))
      t.equal(values.length, sizes.length, `${name}: ${label}`)
})

t.test('the smallest run measures every row of a tunnel', needs('nginx', 'haproxy'), async t => {
  const file = join(t.testdir(), 'results.json')
  const small = ['--rounds', '1', '--scale', '0.01']
  const { code, output } = await bench('--scenario', 'tunnel', ...small, '--json', file)
  t.equal(code, 0, output)
  const { tunnels } = JSON.parse(readFileSync(file, 'utf8')) as Results
  t.equal(
    tunnels.length,
    9,
    'there are six kinds of traffic, handshakes, idle connections and a disconnection',
  )
  const proxies = ['direct', 'nginx', 'HAProxy', 'ticketgate']
  const columnsOf = (row: string): readonly string[] => {
    if (row.startsWith('POST /disconnect')) return ['ticketgate', 'own channel']
    return row === 'handshake' ? [...proxies, 'own channel'] : proxies
  }
  for (const { name, values } of tunnels) {
    t.strictSame(Object.keys(values).toSorted(), columnsOf(name).toSorted(), name)
    t.ok(Object.values(values).every(Number.isFinite), name)
  }
})

t.test('open sockets receive a message, and their tickets work once', async t => {
  const { code, output } = await bench('--connections', '60')
  t.equal(code, 0, output)
  t.match(output, /60 ticketed sockets held by 1 gates/)
  t.match(output, /every ticket shown again +was refused with ticket_used/)
})

t.test('a case prints its condition and its figures', async t => {
  const { code, output } = await bench('--case', 'tls', '--rounds', '1', '--scale', '0.05')
  t.equal(code, 0, output)
  t.match(output, /### tls\n\nTLS 1\.3/)
  t.match(output, /^\| handshake, session resumed \| server CPU, µs \| \d/m)
})

t.test('a profile names the functions that take the time', async t => {
  const { code, output } = await bench('--profile', 'refusal', '--scale', '0.1')
  t.equal(code, 0, output)
  t.match(output, /%.* ms .* dist\/(ticket|admission|socket|http)\/[\w-]+\.js:\d+/)
})

t.test('--check fails if a ratio is far above the accepted one', async t => {
  const quick = ['--check', '--scenario', 'ticket', '--rounds', '1', '--scale', '0.01']
  const directory = t.testdir({ low: '{"ticket":0.001}', high: '{"ticket":1000}' })
  const slower = await bench(...quick, '--ratios', join(directory, 'low'))
  t.equal(slower.code, 1, slower.output)
  t.match(slower.output, /^ticket .* SLOWER$/m)
  t.match(slower.output, 'slower than before: ticket')
  const same = await bench(...quick, '--ratios', join(directory, 'high'))
  t.equal(same.code, 0, same.output)
  t.match(same.output, /^ticket .* ok$/m)
})

t.test('wrong arguments are refused', async t => {
  const cases = [
    [['--scenario', 'nothing'], '--scenario nothing is unknown'],
    [['--scale', ''], '--scale takes'],
    [['--profile', 'nothing'], '--profile nothing is unknown'],
    [['--case', 'nothing'], '--case nothing is unknown'],
  ] as const
  await Promise.all(
    cases.map(async ([args, words]) => {
      const { code, output } = await bench(...args)
      t.equal(code, 1, args.join(' '))
      t.match(output, words)
    }),
  )
})
