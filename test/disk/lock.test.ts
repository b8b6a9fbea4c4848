import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, unlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { withLock } from '../../src/disk/lock.js'
import { fileMark, type LockMark, linkMark } from '../../src/disk/lock-mark.js'
import { startThread } from '../support/thread.js'
import type { LockThreadStart } from './lock-thread.js'

const deadPid = (): number => spawnSync(process.execPath, ['-e', '']).pid

/** Windows uses one of the two, other systems the other one. Both must behave the same. */
const marks = { linkMark, fileMark }

for (const name of ['linkMark', 'fileMark'] as const)
  t.test(name, async t => {
    const mark: LockMark = marks[name]

    /** Takes the lock six times at once. Resolves with the most that held it at the same time. */
    async function crowd(path: string): Promise<number> {
      let inside = 0
      let most = 0
      const enter = async () => {
        most = Math.max(most, ++inside)
        await setImmediate()
        inside--
      }
      await Promise.all([1, 2, 3, 4, 5, 6].map(() => withLock(path, enter, mark)))
      return most
    }

    t.test('one holder at a time has the lock, and no files are left', async t => {
      const directory = t.testdir()
      t.equal(await crowd(join(directory, 'lock')), 1)
      t.strictSame(readdirSync(directory), [])
    })

    t.test('the lock of a dead process is broken', async t => {
      const directory = t.testdir()
      const path = join(directory, 'lock')
      t.equal(await mark.take(path, `${deadPid()}@${hostname()}:5f1c`), true)
      t.equal(await crowd(path), 1)
      t.strictSame(readdirSync(directory), [])
    })

    t.test('the lock of an earlier process with the same id is broken without a wait', async t => {
      const directory = t.testdir()
      const path = join(directory, 'lock')
      const earlier = `${process.pid}@${hostname()}:${randomUUID()}.${randomUUID()}`
      t.equal(await mark.take(path, earlier), true)
      let attempts = 0
      const counted: LockMark = {
        ...mark,
        take(at, text) {
          if (at === path) attempts++
          return mark.take(at, text)
        },
      }
      await withLock(path, async check => check(), counted)
      t.equal(attempts, 2, 'it was broken after the first attempt')
      t.strictSame(readdirSync(directory), [])
    })

    t.test('another thread of this process waits for the lock', async t => {
      const path = join(t.testdir(), 'lock')
      const events: string[] = []
      let ended: Promise<unknown> | undefined
      await withLock(
        path,
        async check => {
          const start: LockThreadStart = { path, mark: name }
          const thread = startThread(new URL('lock-thread.ts', import.meta.url), start)
          thread.on('message', event => events.push(event))
          ended = once(thread, 'exit')
          await once(thread, 'message')
          await check()
          events.push('release')
        },
        mark,
      )
      await ended
      t.strictSame(events, ['waiting', 'release', 'entered'])
    })

    t.test('a holder that has lost its lock is told, and leaves the new one in place', async t => {
      const directory = t.testdir()
      const path = join(directory, 'lock')
      const other = '1@elsewhere.example:5f1c'
      const work = async (check: () => Promise<void>) => {
        t.equal(await mark.take(path, other), false, 'the lock is held')
        unlinkSync(path)
        await mark.take(path, other)
        await check()
      }
      await t.rejects(withLock(path, work, mark), { message: /was broken in the meantime/ })
      t.equal(await mark.holderOf(path), other)
      t.strictSame(readdirSync(directory), ['lock'])
    })
  })
