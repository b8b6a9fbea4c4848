import { parentPort, workerData } from 'node:worker_threads'
import { withLock } from '../../src/disk/lock.js'
import { fileMark, type LockMark, linkMark } from '../../src/disk/lock-mark.js'

export interface LockThreadStart {
  readonly path: string
  readonly mark: 'fileMark' | 'linkMark'
}

// Takes a lock that another thread holds. Reports `waiting` at the sixth attempt, then `entered`.
const { path, mark } = workerData as LockThreadStart
const { take, holderOf } = { fileMark, linkMark }[mark]
let attempts = 0
const counted: LockMark = {
  holderOf,
  take(at, text) {
    if (at === path && ++attempts === 6) parentPort?.postMessage('waiting')
    return take(at, text)
  },
}
await withLock(path, async () => parentPort?.postMessage('entered'), counted)
