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

/** One gate's mark, with a clock that the test sets, and a record of what it reported. */
class Gate {
  nowMs: number
  readonly path: string
  readonly marks: number[] = []
  readonly errors: Error[] = []
  /** What was on disk when each mark was reported. */
  readonly onDisk: number[] = []
  earliestOutsideMs = 0
  #close = (): void => {}
  #wake = (): void => {}

  private constructor(path: string, nowMs: number) {
    this.path = path
    this.nowMs = nowMs
  }

  /** Without a clock skew, the earliest ticket is as old as the gate. */
  static async start(t: Test, path: string, nowMs = startMs, skewMs = 0): Promise<Gate> {
    const gate = new Gate(path, nowMs)
    const mark = await ClockMark.open(path, {
      clock: () => gate.nowMs,
      skewMs,
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
    gate.earliestOutsideMs = mark.earliestOutsideMs
    gate.#close = () => mark.close()
    t.teardown(gate.#close)
    return gate
  }

  /** Ends as if the gate had been killed: its mark stays as it is. */
  die(): void {
    this.#close()
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds())
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
  }

  /** Until when it may accept tickets of outside minters. */
  get untilMs(): number {
    return this.marks.at(-1) ?? 0
  }
}

const markIn = (path: string): number => JSON.parse(readFileSync(path, 'utf8')).untilMs

t.test(
  'the first start begins now, and its mark is ahead of the clock and on disk before it is used',
  async t => {
    const path = join(temporaryDirectory(t), 'state', 'clock-gate-1')
    const gate = await Gate.start(t, path, startMs + 0.4)
    t.equal(
      gate.earliestOutsideMs,
      startMs + 1,
      'the start is rounded up, so that it is later than anything accepted before',
    )
    t.ok(gate.untilMs > gate.nowMs)
    t.strictSame(gate.onDisk, gate.marks)
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.strictSame(readdirSync(join(path, '..')), ['clock-gate-1'], 'no other files are left')
  },
)

t.test('the mark advances with the clock, and is on disk before it is used', async t => {
  const gate = await Gate.start(t, join(temporaryDirectory(t), 'clock'))
  for (const ms of [1000, 2000, 60_000]) {
    gate.nowMs += ms
    await gate.until(() => gate.untilMs > gate.nowMs)
  }
  t.strictSame(gate.onDisk, gate.marks)
  t.strictSame(gate.marks.toSorted(), gate.marks, 'the mark never goes back')
})

t.test('the next start begins no earlier than the last mark, whatever the clock says', async t => {
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
    t.equal(second.earliestOutsideMs, Math.max(startMs + stepMs, first.untilMs), name)
    t.ok(
      second.earliestOutsideMs >= first.untilMs,
      `${name}: the second begins after everything that the first could accept`,
    )
  }
})

t.test('even if the clock is set back before each start, each begins after all earlier ones', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  let latestMs = 0
  for (let run = 0; run < 6; run++) {
    const gate = await Gate.start(t, path, startMs - run * 3000)
    t.ok(gate.earliestOutsideMs >= latestMs, `start ${run}`)
    latestMs = Math.max(latestMs, gate.untilMs)
    gate.die()
  }
})

t.test('the next gate accepts no ticket dated as late as one that an earlier gate accepted', async t => {
  const second = 1000
  const cases = [
    ['the skew stays', [60, 60], 60],
    ['it is made larger', [5, 60], 60],
    ['it is made smaller', [60, 5], 60],
    ['it is made smaller twice, in a moment', [60, 30, 5], 60],
    ['it was larger for a moment', [5, 300, 5], 300],
  ] as const
  for (const [name, skews, expectedSeconds] of cases) {
    const path = join(temporaryDirectory(t), 'clock')
    const gates: Gate[] = []
    // None of them ends first: the older ones are still there, as in a takeover.
    for (const skew of skews) gates.push(await Gate.start(t, path, startMs, skew * second))
    const last = gates.at(-1)
    const untilMs = startMs + 5 * second
    t.equal(last?.earliestOutsideMs, untilMs + expectedSeconds * second, name)
    const later = await Gate.start(t, path, startMs + 3600 * second, 5 * second)
    t.equal(later.earliestOutsideMs, later.nowMs + 5 * second, `${name}: an hour later it no longer matters`)
  }
})

t.test('what was accepted under a larger skew is remembered for as long as the mark is renewed', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const first = await Gate.start(t, path, startMs, 60_000)
  const issuedBeforeMs = first.untilMs + 60_000
  first.die()
  const second = await Gate.start(t, path, startMs, 0)
  second.nowMs += 10_000
  await second.until(() => second.untilMs > second.nowMs)
  second.die()
  t.equal((await Gate.start(t, path, startMs, 0)).earliestOutsideMs, issuedBeforeMs)
})

t.test('a mark of an earlier version may have been written under the largest skew', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  writeFileSync(path, JSON.stringify({ owner: 'earlier', untilMs: startMs }))
  t.equal((await Gate.start(t, path, startMs, 5000)).earliestOutsideMs, startMs + 300_000)
})

t.test(
  'of two gates with one mark, the older one stops using it, and the younger begins after it',
  async t => {
    const path = join(temporaryDirectory(t), 'clock')
    const older = await Gate.start(t, path)
    const younger = await Gate.start(t, path)
    t.ok(younger.earliestOutsideMs >= older.untilMs)
    const last = older.untilMs
    older.nowMs += 3000
    await older.until(() => older.errors.length > 0)
    t.match(older.errors[0]?.message, /another gate has taken over/)
    younger.nowMs += 3000
    await younger.until(() => younger.untilMs > younger.nowMs)
    t.equal(older.untilMs, last, 'the time of the older gate is not extended')
    t.strictSame(younger.errors, [])
    t.equal(older.errors.length, 1, 'the older gate reports it once')
  },
)

t.test('a mark that cannot be written does not advance, and recovers later', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const gate = await Gate.start(t, path)
  const last = gate.untilMs
  renameSync(path, `${path}.moved`)
  mkdirSync(path)
  gate.nowMs += 60_000
  await gate.until(() => gate.errors.length > 0)
  t.equal(gate.untilMs, last)
  renameSync(path, `${path}.directory`)
  renameSync(`${path}.moved`, path)
  await gate.until(() => gate.untilMs > gate.nowMs)
  t.equal(gate.errors.length, 1)
})

t.test('a missing mark is not recreated: it may have been moved to another gate', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const gate = await Gate.start(t, path)
  const last = gate.untilMs
  renameSync(path, `${path}.moved`)
  gate.nowMs += 60_000
  await gate.until(() => gate.errors.length > 0 || gate.untilMs > last)
  t.notOk(existsSync(path))
  t.equal(gate.untilMs, last, 'the time of the gate is not extended')
  t.match(gate.errors[0]?.message, /is missing/)
})

t.test('a gate does not start if its mark cannot be read or written', async t => {
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
    '{"owner":"a","untilMs":1,"issuedBeforeMs":"2"}',
    '{"owner":"a","untilMs":1,"issuedBeforeMs":null}',
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

t.test('a gate whose last step hangs while another takes over the mark does not get it back', async t => {
  const path = join(temporaryDirectory(t), 'clock')
  const older = await Gate.start(t, path)
  const disk = hangNextRename(t, path)
  older.nowMs += 3000
  await disk.begun
  const last = older.marks.length
  makeStale(path)
  const younger = await Gate.start(t, path, startMs + 10_000)
  t.ok(younger.earliestOutsideMs >= older.untilMs)
  disk.release()
  await older.until(() => older.errors.length > 0 || older.marks.length > last)
  t.match(older.errors[0]?.message, /another process took over/)
  older.nowMs += 60_000
  younger.nowMs += 60_000
  await younger.until(() => younger.untilMs > younger.nowMs)
  t.equal(markIn(path), younger.untilMs, 'the mark is that of the younger gate')
  t.equal(older.marks.length, last, 'the time of the older gate is not extended')
  t.strictSame(younger.errors, [])
  t.strictSame(
    readdirSync(join(path, '..')).filter(name => name.endsWith('.tmp')),
    [],
  )
})

t.test('of two gates that take over the mark of a dead one, the one that hangs does not start', async t => {
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
