import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { GateOptions } from '../../src/config/gate-options.js'
import { resolveConfig } from '../../src/config/resolve.js'
import { keepClockMark, longestOutsideMs, openTicketKeys } from '../../src/disk/gate-keys.js'
import { ownTicketsOnly, verifyTicket } from '../../src/ticket/verifier.js'
import { newBootKey } from '../support/boot-key.js'
import { temporaryDirectory } from '../support/fixtures.js'
import { createMinter } from '../support/minter.js'

// Keeps the process alive: the code under test does not.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

const keyText = (id: number, fill: string): string => `${id}:${Buffer.alloc(32, fill).toString('base64url')}`

const configOf = (options: GateOptions) => resolveConfig({ env: {}, options })

/** A log that keeps its lines, and notifies when one is written. */
function createTestLog() {
  const lines: string[] = []
  let wake = (): void => {}
  const log = pino(
    { level: 'info' },
    {
      write(line: string) {
        lines.push(line)
        wake()
      },
    },
  )
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds())
      await new Promise<void>(resolve => {
        wake = resolve
      })
  }
  return { log, lines, until }
}

const view = (earliestOutsideMs: number, untilMs: number): SharedArrayBuffer => {
  const words = new BigInt64Array(new SharedArrayBuffer(16))
  words.set([BigInt(earliestOutsideMs), BigInt(untilMs)])
  return words.buffer as SharedArrayBuffer
}

t.test('without keys of outside minters there is no clock mark, and their tickets are refused', async t => {
  const config = configOf({ ticketTtlSeconds: 7 })
  const { log } = createTestLog()
  t.equal(await keepClockMark(config, log), undefined)
  t.equal(longestOutsideMs(config), undefined)
  const bootKey = newBootKey()
  const keys = openTicketKeys(config, bootKey, log, undefined)
  t.strictSame([...keys.ring().keys()], [0])
  t.strictSame(keys.policy, { ...ownTicketsOnly, node: '' })
  keys.close()
})

t.test('with keys of outside minters, the policy follows the mark that all threads share', async t => {
  const config = configOf({
    ticketKeys: `${keyText(1, 'a')},${keyText(9, 'b')}`,
    node: 'gate-1',
    clockSkewSeconds: 5,
  })
  t.equal(
    longestOutsideMs(config),
    3_610_000,
    'the longest lifetime of the format, plus the clock skew twice',
  )
  const mark = view(6000, 2000)
  const keys = openTicketKeys(config, newBootKey('gate-1'), createTestLog().log, mark)
  t.strictSame([...keys.ring().keys()], [0, 1, 9])
  const { node, skewMs, earliestOutsideMs, outsideUntilMs } = keys.policy
  t.strictSame([node, skewMs, earliestOutsideMs, outsideUntilMs], ['gate-1', 5000, 6000, 2000])
  Atomics.store(new BigInt64Array(mark), 1, 3000n)
  t.equal(keys.policy.outsideUntilMs, 3000)
  keys.close()
})

t.test('after a restart with another clock skew, no ticket is accepted a second time', async t => {
  const minter = createMinter(7)
  const { log } = createTestLog()
  const cases = [
    ['the same skew', 60, 60],
    ['a smaller one', 60, 5],
    ['none', 300, 0],
    ['a larger one', 5, 60],
  ] as const
  for (const [name, before, after] of cases) {
    const stateDir = temporaryDirectory(t)
    /** A life of the gate, which ends as it begins: its mark stays as it is. */
    const live = async (clockSkewSeconds: number) => {
      const config = configOf({ ticketKeys: minter.key, node: 'gate-1', clockSkewSeconds, stateDir })
      const mark = await keepClockMark(config, log)
      const { ring, policy, close } = openTicketKeys(config, newBootKey('gate-1'), log, mark?.view)
      mark?.close()
      close()
      return { ring: ring(), policy }
    }
    const first = await live(before)
    const nowMs = first.policy.outsideUntilMs - 1
    const issuedAtMs = nowMs + first.policy.skewMs
    const ticket = minter.mint('gate-1', { issuedAtMs })
    t.type(verifyTicket(ticket, first.ring, nowMs, first.policy), 'object', `${name}: accepted once`)
    const second = await live(after)
    const policy = { ...second.policy, outsideUntilMs: Number.POSITIVE_INFINITY }
    t.equal(verifyTicket(ticket, second.ring, issuedAtMs, policy), 'ticket_predates_gate', name)
  }
})

/** A key file with this content, which is watched. */
const watched = (t: Test, first: string) => {
  const directory = mkdtempSync(join(tmpdir(), 'ticketgate-keys-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const file = join(directory, 'ticket.keys')
  writeFileSync(file, first)
  const config = configOf({ ticketKeysFile: file, node: 'gate-1' })
  const testLog = createTestLog()
  const keys = openTicketKeys(config, newBootKey('gate-1'), testLog.log, view(0, 0))
  t.teardown(() => keys.close())
  return { file, keys, ...testLog, ids: () => [...keys.ring().keys()] }
}

t.test('the file is read again when it is written, replaced, or reached by a changed link', async t => {
  const { file, ids, until } = watched(t, keyText(1, 'a'))
  t.strictSame(ids(), [0, 1])
  writeFileSync(file, `${keyText(1, 'a')}\n${keyText(2, 'b')}\n`)
  await until(() => ids().includes(2))
  t.strictSame(ids(), [0, 1, 2])
  writeFileSync(`${file}.new`, keyText(3, 'c'))
  renameSync(`${file}.new`, file)
  await until(() => ids().includes(3))
  t.strictSame(ids(), [0, 3])
  writeFileSync(`${file}.target`, keyText(4, 'd'))
  unlinkSync(file)
  symlinkSync(`${file}.target`, file)
  await until(() => ids().includes(4))
  t.strictSame(ids(), [0, 4])
})

t.test(
  'on SIGHUP the file is read again; a broken one changes nothing and is logged without its keys',
  async t => {
    const listenersBefore = process.listenerCount('SIGHUP')
    const { file, ids, keys, lines, until } = watched(t, keyText(1, 'a'))
    const contents = [
      '',
      '2:short',
      `${keyText(2, 'b')}=`,
      `0:${'A'.repeat(43)}`,
      `${keyText(2, 'b')},${keyText(2, 'c')}`,
      `${keyText(2, 'b')}\nnonsense`,
    ]
    /** Waits until the file has been read again, on the signal or because its change was noticed. */
    const readAgain = async (): Promise<void> => {
      const before = lines.length
      process.kill(process.pid, 'SIGHUP')
      await until(() => lines.length > before)
    }
    for (const content of contents) {
      writeFileSync(file, content)
      await readAgain()
      t.match(
        JSON.parse(lines.at(-1) ?? ''),
        { level: 50, msg: /broken: the previous ones stay in use/ },
        content,
      )
      t.strictSame(ids(), [0, 1])
    }
    t.notMatch(lines.join(), /YmJi/, 'no part of a key is in the log')
    unlinkSync(file)
    await readAgain()
    t.strictSame(ids(), [0, 1], 'a missing file changes nothing')
    writeFileSync(file, keyText(5, 'e'))
    await readAgain()
    t.strictSame(ids(), [0, 5])
    keys.close()
    t.equal(process.listenerCount('SIGHUP'), listenersBefore, 'the signal handler is removed on closing')
  },
)
