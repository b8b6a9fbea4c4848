import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { StartupError } from '../errors.js'
import { isJsonObject } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import {
  createRevocations,
  isRevocation,
  keptFor,
  laterOf,
  type Revocation,
  type Revocations,
  revocationKey,
} from '../token/revocation.js'
import { accessFacts } from './access.js'
import { errnoOf } from './errno.js'
import { appendLines, readLines } from './journal.js'
import { withLock } from './lock.js'
import { cancelReplacements, replaceFile, syncDirectory } from './replace-file.js'

/** Smaller files are never rewritten, however many lines are obsolete. */
const leastCompactedBytes = 1024 * 1024

const linesAtOnce = 1000

interface Options {
  readonly nowSeconds: () => number
  /** How long revocations are kept after their date, at least. */
  readonly keepSeconds: number
  readonly log: Log
}

/** The files of a gate's revocations, in its state directory. */
interface Paths {
  readonly directory: string
  /** A journal with one revocation per line. */
  readonly journal: string
  /** The file of earlier versions: all revocations in one JSON object. */
  readonly former: string
  readonly lock: string
}

/** The contents of the files of a state directory. */
interface Kept {
  readonly revocations: ReadonlyMap<string, Revocation>
  /** How many lines have expired or been replaced by later ones. */
  readonly superfluous: number
  readonly hasFormer: boolean
}

/**
 * The revocations of a gate, which survive its restart. Each is a line in a journal, so writing one
 * costs the same however many there are. Once most of the journal is obsolete, it is rewritten in
 * parts.
 *
 * Gates that share a state directory share the journal. They read each other's revocations when
 * they start.
 */
export class RevocationFile {
  readonly revocations: Revocations
  readonly #paths: Paths
  readonly #options: Options
  /** Those that are not on disk yet: one for each subject, however often a write fails. */
  #unwritten = new Map<string, Revocation>()
  #queued: Promise<void> | undefined
  #last: Promise<void> = Promise.resolve()
  #isNamed = false
  #compactAboveBytes: number

  private constructor(paths: Paths, options: Options, kept: Kept, compactAboveBytes: number) {
    this.#paths = paths
    this.#options = options
    this.#compactAboveBytes = compactAboveBytes
    this.revocations = createRevocations([...kept.revocations.values()])
  }

  /**
   * Opens the revocations of a state directory, which need not exist yet.
   * @throws StartupError `revocations_invalid` if they cannot be read: a start without them would
   * accept revoked tokens
   */
  static async open(stateDir: string, options: Options): Promise<RevocationFile> {
    const paths: Paths = {
      directory: stateDir,
      journal: join(stateDir, 'revocations.jsonl'),
      former: join(stateDir, 'revocations.json'),
      lock: join(stateDir, 'revocations.jsonl.lock'),
    }
    const kept = await readKept(paths, options)
    const isWorth = kept.hasFormer || kept.superfluous > kept.revocations.size
    const compactAboveBytes = isWorth ? 0 : compactAbove(await sizeOf(paths.journal))
    return new RevocationFile(paths, options, kept, compactAboveBytes)
  }

  /**
   * Writes a revocation. Resolves once it is on disk.
   * @throws Error if the state directory cannot be written; the next call then writes this one too
   * @throws TypeError for one that the next start could not read
   */
  write(revocation: Revocation): Promise<void> {
    if (!isRevocation(revocation)) return Promise.reject(new TypeError('this is not a revocation'))
    merge(this.#unwritten, revocation)
    // Revocations that arrive during a write share the next one.
    this.#queued ??= this.#enqueue(() => this.#writeAll())
    return this.#queued
  }

  /**
   * Writes a revocation of another node, which is in force already. Failures are logged. Returns
   * whether it is news.
   */
  learn(revocation: Revocation): boolean {
    const outcome = this.revocations.add(revocation, this.#options.nowSeconds())
    if (outcome === 'full')
      this.#options.log.error('a revocation of another node could not be kept: the limit is reached')
    if (outcome !== 'added') return false
    const isFirst = this.#queued === undefined
    const written = this.write(revocation)
    // Logged once for all that are written together.
    if (isFirst)
      written.catch(error =>
        this.#options.log.error({ err: error }, 'revocations of other nodes could not be written'),
      )
    return true
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work, work)
    return this.#last
  }

  async #writeAll(): Promise<void> {
    this.#queued = undefined
    const all = [...this.#unwritten.values()]
    this.#unwritten.clear()
    try {
      const lines = all.map(revocation => JSON.stringify(revocation))
      await mkdir(this.#paths.directory, { recursive: true, mode: 0o700 })
      const size = await withLock(this.#paths.lock, check => this.#append(lines, check))
      if (size > this.#compactAboveBytes) this.#enqueue(() => this.#compact())
    } catch (error) {
      this.#putBack(all)
      throw new Error(
        `revocations cannot be written to ${this.#paths.journal}, so a restart would forget them: make room, or let this user write there, and send them again`,
        { cause: error },
      )
    }
  }

  /** Keeps those that still apply for the next write, before the ones that came meanwhile. */
  #putBack(unwritten: readonly Revocation[]): void {
    const nowSeconds = this.#options.nowSeconds()
    const meanwhile = this.#unwritten
    this.#unwritten = new Map()
    for (const revocation of unwritten)
      if (revocation.untilSeconds > nowSeconds) merge(this.#unwritten, revocation)
    // All of them: a write that is queued must have something to write.
    for (const revocation of meanwhile.values()) merge(this.#unwritten, revocation)
  }

  async #append(lines: readonly string[], check: () => Promise<void>): Promise<number> {
    const { journal, directory } = this.#paths
    // A process that hung while it rewrote the journal must not undo this write.
    await cancelReplacements(journal)
    const size = await appendLines(journal, lines)
    if (!this.#isNamed) await syncDirectory(directory)
    this.#isNamed = true
    // If the lock was broken in the meantime, the lines may be in a journal that has been replaced.
    await check()
    return size
  }

  /** Rewrites the journal without obsolete lines. On failure, the old journal stays. */
  async #compact(): Promise<void> {
    const { journal, former, lock } = this.#paths
    try {
      await withLock(lock, async check => {
        await cancelReplacements(journal)
        const kept = await readKept(this.#paths, this.#options)
        await replaceFile(journal, textOf([...kept.revocations.values()]), check)
        if (kept.hasFormer) await rm(former, { force: true })
      })
    } catch (error) {
      this.#options.log.warn({ err: error }, 'the revocation file could not be compacted and keeps growing')
    }
    this.#compactAboveBytes = compactAbove(await sizeOf(journal))
  }
}

/** Adds a revocation to others, of which there is one for each subject. */
function merge(revocations: Map<string, Revocation>, revocation: Revocation): void {
  const key = revocationKey(revocation)
  const before = revocations.get(key)
  revocations.set(key, before === undefined ? revocation : laterOf(before, revocation))
}

const compactAbove = (sizeBytes: number): number => Math.max(leastCompactedBytes, 2 * sizeBytes)

const sizeOf = async (path: string): Promise<number> => {
  try {
    return (await stat(path)).size
  } catch (error) {
    errnoOf(error)
    return 0
  }
}

/** Yields the text of a journal, in parts that take the event loop a millisecond or two each. */
function* textOf(revocations: readonly Revocation[]): Generator<string> {
  for (let at = 0; at < revocations.length; at += linesAtOnce)
    yield revocations
      .slice(at, at + linesAtOnce)
      .map(revocation => `${JSON.stringify(revocation)}\n`)
      .join('')
}

/** @throws StartupError `revocations_invalid` */
async function readKept({ journal, former }: Paths, options: Options): Promise<Kept> {
  const nowSeconds = options.nowSeconds()
  const revocations = new Map<string, Revocation>()
  let lines = 0
  const keep = (written: Revocation): void => {
    lines++
    // Tokens may live longer now than when it was written.
    const revocation = keptFor(written, options.keepSeconds)
    if (revocation.untilSeconds > nowSeconds) merge(revocations, revocation)
  }
  const before = await readFormer(former)
  for (const revocation of before ?? []) keep(revocation)
  try {
    for await (const some of readLines(journal))
      for (const line of some) keep(parseLine(line) ?? invalid(journal, `has a line that is no revocation`))
  } catch (error) {
    throw error instanceof StartupError ? error : unreadable(journal, errnoOf(error))
  }
  return { revocations, superfluous: lines - revocations.size, hasFormer: before !== undefined }
}

function parseLine(line: string): Revocation | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isRevocation(value) ? value : undefined
  } catch {
    return undefined
  }
}

async function readFormer(path: string): Promise<Revocation[] | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = errnoOf(error)
    return code === 'ENOENT' ? undefined : unreadable(path, code)
  }
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch {
    return invalid(path, 'is not JSON')
  }
  if (!isJsonObject(content) || content.version !== 1 || !Array.isArray(content.revocations))
    return invalid(path, 'is not {"version": 1, "revocations": […]}')
  for (const [index, entry] of content.revocations.entries())
    if (!isRevocation(entry)) return invalid(path, `has an entry that is no revocation (number ${index + 1})`)
  return content.revocations
}

/** The revocations are intact, so the message does not suggest removing them. */
function unreadable(path: string, code: string): never {
  throw new StartupError(
    'revocations_invalid',
    `The revocations in ${path} cannot be read (${code}): ${accessFacts(path)}. Let this user read the file.`,
  )
}

function invalid(path: string, reason: string): never {
  throw new StartupError(
    'revocations_invalid',
    `The revocations in ${path} are lost: the file ${reason}. Restore it. Or remove it, and every revocation with it, and set a new TICKETGATE_JWT_SECRET, which invalidates all earlier tokens.`,
  )
}
