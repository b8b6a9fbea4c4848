import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ClockMark } from '../../src/disk/clock-mark.js'
import { temporaryDirectory } from '../support/fixtures.js'
import { hangNextRename, makeStale } from '../support/hung-disk.js'

// Keeps the process alive: the code under test does not.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

const startMs = 1_764_000_000_123

/** The mark of one gate, with a clock set by hand, and what it reported. */
class Gate {
  nowMs: number
  readonly path: string
  readonly marks: number[] = []
  readonly errors: Error[] = []
  /** What was on disk when each mark was reported. */
  readonly onDisk: number[] = []
  bornAtMs = 0
  #close = (): void => {}
  #wake = (): void => {}

  private constructor(path: string, nowMs: number) {
    this.path = path
    this.nowMs = nowMs
  }

  static async start(t: Test, path: string, nowMs = startMs): Promise<Gate> {
    const gate = new Gate(path, nowMs)
    const mark = await ClockMark.open(path, {
      clock: () => gate.nowMs,
      onMark(untilMs) {
        gate.marks.push(untilMs)
        gate.onDisk.push(markIn(path))
        gate.#wake()
      },
      onError(error) {
        gate.errors.push(error)
        gate.#wake()
      },
    })
    gate.bornAtMs = mark.bornAtMs
    gate.#close = () => mark.close()
    t.teardown(gate.#close)
    return gate
  }

  /** As if the gate had been killed: its mark stays as it is. */
  die(): void {
    this.#close()
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds())
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
  }

  /** The latest moment at which it may accept tickets of outside minters. */
  get untilMs(): number {
    return this.marks.at(-1) ?? 0
  }
}

const markIn = (path: string): number => JSON.parse(readFileSync(path, 'utf8')).untilMs

t.test(
  'the first life begins now, and its mark is ahead of its clock, on disk before it is used',
  async t => {
    const path = join(temporaryDirectory(t), 'state', 'clock-gate-1')
    const gate = await Gate.start(t, path, startMs + 0.4)
    t.equal(gate.bornAtMs, startMs + 1, 'rounded up: what was accepted in this very millisecond is older')
    t.ok(gate.untilMs > gate.nowMs)
    t.strictSame(gate.onDisk, gate.marks)
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.strictSame(readdirSync(join(path, '..')), ['clock-gate-1'], 'nothing is left beside it')
  },
)

t.test('the mark advances with the clock, and is on disk before it is used', async t => {
  const gate = await Gate.start(t, join(temporaryDirectory(t), 'clock'))
  for (const ms of [1000, 2000, 60_000]) {
    gate.nowMs += ms
    await gate.until(() => gate.untilMs > gate.nowMs)
  }
  t.strictSame(gate.onDisk, gate.marks)
  t.strictSame(gate.marks.toSorted(), gate.marks, 'it does not go back')
})

t.test('the next life begins no earlier than the last mark, whatever the clock says', async t => {
  const cases = [
    ['the clock goes on', 10_000],
    ['it stands still', 0],
    ['it is set back by a second', -1000],
    ['it is set back by a year', -31_536_000_000],
  ] as const
  for (const [name, stepMs] of cases) {
    const path = join(temporaryDirectory(t), 'clock')
    const first = await Gate.start(t, path)
    first.die()
    const second = await Gate.start(t, path, startMs + stepMs)
    t.equal(second.bornAtMs, Math.max(startMs + stepMs, first.untilMs), name)
    t.ok(second.bornAtMs >= first.untilMs, `${name}: what the first could accept is older than the second`)
  }
})

t.test('with the clock set back before each life, none begins within the time of another', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  let latestMs = 0
  for (let life = 0; life < 6; life++) {
    const gate = await Gate.start(t, path, startMs - life * 3000)
    t.ok(gate.bornAtMs >= latestMs, `life ${life}`)
    latestMs = Math.max(latestMs, gate.untilMs)
    gate.die()
  }
})

t.test(
  'of two gates with one mark, the older gives way, and the younger begins after its last time',
  async t => {
    const path = join(temporaryDirectory(t), 'clock')
    const elder = await Gate.start(t, path)
    const younger = await Gate.start(t, path)
    t.ok(younger.bornAtMs >= elder.untilMs)
    const last = elder.untilMs
    elder.nowMs += 3000
    await elder.until(() => elder.errors.length > 0)
    t.match(elder.errors[0]?.message, /another gate has taken over/)
    younger.nowMs += 3000
    await younger.until(() => younger.untilMs > younger.nowMs)
    t.equal(elder.untilMs, last, 'it is given no more time')
    t.strictSame(younger.errors, [])
    t.equal(elder.errors.length, 1, 'and says so once')
  },
)

t.test('a mark that cannot be written gives no more time, and recovers', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const gate = await Gate.start(t, path)
  const last = gate.untilMs
  renameSync(path, `${path}.away`)
  mkdirSync(path)
  gate.nowMs += 60_000
  await gate.until(() => gate.errors.length > 0)
  t.equal(gate.untilMs, last)
  renameSync(path, `${path}.directory`)
  renameSync(`${path}.away`, path)
  await gate.until(() => gate.untilMs > gate.nowMs)
  t.equal(gate.errors.length, 1)
})

t.test('a missing mark is not recreated: it may have been moved to another gate', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const gate = await Gate.start(t, path)
  const last = gate.untilMs
  renameSync(path, `${path}.away`)
  gate.nowMs += 60_000
  await gate.until(() => gate.errors.length > 0 || gate.untilMs > last)
  t.notOk(existsSync(path))
  t.equal(gate.untilMs, last, 'it is given no more time')
  t.match(gate.errors[0]?.message, /another gate has taken over/)
})

t.test('without a readable and writable mark, a gate does not start', async t => {
  const directory = temporaryDirectory(t)
  const contents = [
    '',
    'x',
    '[]',
    '{}',
    'null',
    '{"owner":"a"}',
    '{"owner":1,"untilMs":1}',
    '{"owner":"a","untilMs":1.5}',
    '{"owner":"a","untilMs":1e400}',
  ]
  for (const [index, content] of contents.entries()) {
    const path = join(directory, `clock-${index}`)
    writeFileSync(path, content)
    await t.rejects(Gate.start(t, path), { code: 'clock_mark_invalid', message: path }, content)
    t.equal(readFileSync(path, 'utf8'), content, 'a broken file is not overwritten')
  }
  writeFileSync(join(directory, 'file'), '')
  await t.rejects(Gate.start(t, join(directory, 'file', 'clock')), { code: 'clock_mark_invalid' })
})

t.test(
  'a gate that hangs in its last step while another takes over its mark does not get it back',
  async t => {
    const path = join(temporaryDirectory(t), 'clock')
    const elder = await Gate.start(t, path)
    const disk = hangNextRename(t, path)
    elder.nowMs += 3000
    await disk.begun
    const last = elder.marks.length
    makeStale(path)
    const younger = await Gate.start(t, path, startMs + 10_000)
    t.ok(younger.bornAtMs >= elder.untilMs)
    disk.release()
    await elder.until(() => elder.errors.length > 0 || elder.marks.length > last)
    t.match(elder.errors[0]?.message, /another process took over/)
    elder.nowMs += 60_000
    younger.nowMs += 60_000
    await younger.until(() => younger.untilMs > younger.nowMs)
    t.equal(markIn(path), younger.untilMs, 'the mark is that of the younger')
    t.equal(elder.marks.length, last, 'the elder is given no more time')
    t.strictSame(younger.errors, [])
    t.strictSame(
      readdirSync(join(path, '..')).filter(name => name.endsWith('.tmp')),
      [],
    )
  },
)

t.test('of two that take over the mark of a dead gate, the one that hangs does not start', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const first = await Gate.start(t, path)
  first.die()
  const disk = hangNextRename(t, path)
  const starting = Gate.start(t, path)
  const refused = t.rejects(starting, { code: 'clock_mark_invalid', message: /another process took over/ })
  await disk.begun
  makeStale(path)
  const third = await Gate.start(t, path, startMs + 10_000)
  disk.release()
  await refused
  third.nowMs += 60_000
  await third.until(() => third.untilMs > third.nowMs)
  t.equal(markIn(path), third.untilMs)
  t.strictSame(third.errors, [])
})
