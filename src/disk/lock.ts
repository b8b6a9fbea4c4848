import { randomUUID } from 'node:crypto'
import { lstat, readlink, symlink, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { errnoOf } from './errno.js'

const pollMs = 20

/** Far more than any work done under a lock takes: for holders whose death can not be seen from here. */
const staleMs = 30_000

/**
 * Runs `work` while this process alone holds the lock at `path`, and waits for that as long as it takes.
 * The lock of a dead process is broken: at once on the same host, elsewhere after 30 s. `work` is given a
 * check to await just before it commits; it rejects when the lock was broken meanwhile (a process that slept).
 *
 * The lock is a symbolic link whose target names the holder, as Emacs has it: made in one step with what it
 * says, and gone in one step.
 */
export async function withLock<T>(
  path: string,
  work: (check: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const mine = `${process.pid}@${hostname()}:${randomUUID()}`
  const check = async () => {
    if ((await holderOf(path)) !== mine) throw new Error(`the lock ${path} was broken meanwhile; try again`)
  }
  while (!(await take(path, mine))) {
    const holder = await holderOf(path)
    if (holder === undefined) continue
    if (await isStale(path, holder)) await breakLock(path, holder)
    else await sleep(pollMs)
  }
  try {
    return await work(check)
  } finally {
    if ((await holderOf(path)) === mine) await remove(path)
  }
}

async function take(path: string, mine: string): Promise<boolean> {
  try {
    await symlink(mine, path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  }
}

async function holderOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function isStale(path: string, holder: string): Promise<boolean> {
  const [, pid, host] = /^(\d+)@(.*):/.exec(holder) ?? []
  if (host === hostname() && !isAlive(Number(pid))) return true
  return isOld(path)
}

/**
 * Only who holds the marker of this very lock removes it, and looks again first: else two that saw one dead
 * holder would remove the lock, the second of them the lock that the first has just taken.
 */
async function breakLock(path: string, holder: string): Promise<void> {
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
    // Both ways, since the system clock may have been set back.
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
