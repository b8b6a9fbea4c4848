import { mkdir, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StartupError } from '../errors.js'
import { isJsonObject } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { createRevocations, isRevocation, type Revocation, type Revocations } from '../token/revocation.js'
import { errnoOf } from './errno.js'
import { withLock } from './lock.js'
import { replaceFile, withdrawReplacements } from './replace-file.js'

/** The revocations of a gate, which survive its restart. */
export interface RevocationFile {
  readonly revocations: Revocations
  /** Resolves when all that is kept now is on disk. */
  save(): Promise<void>
}

/**
 * Opens the file of revocations; a missing one holds none.
 * @throws StartupError `revocations_invalid`: to go on without it would let in whom it keeps out
 */
export async function openRevocationFile(path: string, nowSeconds: () => number): Promise<RevocationFile> {
  const revocations = createRevocations(await readRevocations(path))
  let queued: Promise<void> | undefined
  let last: Promise<void> = Promise.resolve()

  async function write(): Promise<void> {
    queued = undefined
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await withLock(`${path}.lock`, async check => {
      // Another gate may keep its state in the same directory: what it wrote meanwhile stays, and nothing of it comes late.
      await withdrawReplacements(path)
      const merged = createRevocations(await readRevocations(path))
      for (const revocation of revocations.list(nowSeconds())) merged.add(revocation, nowSeconds())
      const text = JSON.stringify({ version: 1, revocations: merged.list(nowSeconds()) })
      await replaceFile(path, `${text}\n`, check)
    })
  }

  return {
    revocations,
    save() {
      // Whoever comes while one is written shares the next write.
      queued ??= last.then(write, write)
      last = queued
      return queued
    },
  }
}

/** Writes down what was revoked elsewhere; it counts already. */
export const saveRevocations = (file: RevocationFile, log: Log): void =>
  void file
    .save()
    .catch(error => log.error({ err: error }, 'a revocation of another node could not be written down'))

async function readRevocations(path: string): Promise<Revocation[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'ENOENT') return []
    throw invalid(path, `can not be read (${code})`)
  }
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    throw invalid(path, 'is not JSON')
  }
  if (!isJsonObject(content) || content.version !== 1 || !Array.isArray(content.revocations))
    throw invalid(path, 'is not {"version": 1, "revocations": […]}')
  for (const [index, entry] of content.revocations.entries())
    if (!isRevocation(entry)) throw invalid(path, `holds no revocation as number ${index + 1}`)
  return content.revocations
}

const invalid = (path: string, reason: string): StartupError =>
  new StartupError(
    'revocations_invalid',
    `The revocations in ${path} are lost: the file ${reason}. Restore it, or remove it and with it every revocation: then make a new TICKETGATE_JWT_SECRET, so that no token of before is good.`,
  )
