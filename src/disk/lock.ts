import { randomUUID } from 'node:crypto'
import { lstat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import { errnoOf } from './errno.js'
import { type LockMark, ourMark } from './lock-mark.js'

const pollMs = 20

/**
 * Far longer than any work under a lock takes. For holders whose death cannot be seen from this
 * host.
 */
const staleMs = 30_000

/** Names this process among all that ever had its host and process id. */
const life = lifeOfProcess()

/**
 * Runs `work` while this process alone holds the lock at `path`. Waits for the lock without limit.
 * Breaks the lock of a dead process: at once on the same host, after 30 s otherwise. `work` must
 * await the check that it is given just before it commits. The check rejects if the lock was broken
 * in the meantime, for example because this process was suspended.
 */
export async function withLock<T>(
  path: string,
  work: (check: () => Promise<void>) => Promise<T>,
  mark: LockMark = ourMark,
): Promise<T> {
  const { take, holderOf } = mark
  const mine = `${process.pid}@${hostname()}:${life}.${randomUUID()}`
  const check = async () => {
    if ((await holderOf(path)) !== mine)
      throw new Error(`the lock ${path} was broken in the meantime; try again`)
  }
  while (!(await take(path, mine))) {
    const holder = await holderOf(path)
    if (holder === undefined) continue
    if (await isStale(path, holder)) await breakLock(path, holder, mark)
    else await sleep(pollMs)
  }
  try {
    return await work(check)
  } finally {
    if ((await holderOf(path)) === mine) await remove(path)
  }
}

async function isStale(path: string, holder: string): Promise<boolean> {
  const [, pid, host, itsLife = ''] = /^(\d+)@(.*):(?:([^.]*)\.)?/.exec(holder) ?? []
  if (host === hostname()) {
    if (!isAlive(Number(pid))) return true
    if (Number(pid) === process.pid && itsLife !== '' && life !== '' && itsLife !== life) return true
  }
  return isOld(path)
}

/**
 * In a container every process that is started may have the id 1. All threads of a process have one
 * life: they inherit it from the main thread. In a thread that is older than this module in the
 * main thread, it is unknown: ''.
 */
function lifeOfProcess(): string {
  const name = 'ticketgate.life'
  const known = getEnvironmentData(name)
  if (typeof known === 'string') return known
  if (!isMainThread) return ''
  const chosen = randomUUID()
  setEnvironmentData(name, chosen)
  return chosen
}

/**
 * Removes the lock only while holding a marker for that very lock, and after another look.
 * Otherwise two processes that saw the same dead holder would both remove a lock, the second one
 * the lock that the first has just taken.
 */
async function breakLock(path: string, holder: string, { take, holderOf }: LockMark): Promise<void> {
  const marker = `${path}.${holder.slice(holder.lastIndexOf(':') + 1)}`
  if (!(await take(marker, holder))) {
    if (await isOld(marker)) await remove(marker)
    else await sleep(pollMs)
    return
  }
  if ((await holderOf(path)) === holder) await remove(path)
  await remove(marker)
}

async function isOld(path: string): Promise<boolean> {
  try {
    // In both directions, as the system clock may have been set back.
    return Math.abs(Date.now() - (await lstat(path)).mtimeMs) > staleMs
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

async function remove(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) !== 'ESRCH'
  }
}
