/**
 * Importing this builds `dist` from `src` unless it is up to date. For tests of the shipped build.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { plain } from './plain.js'

const root = fileURLToPath(new URL('../../', import.meta.url))
const stampFile = join(root, '.tap/built')
const lockFile = join(root, '.tap/building')

/** What `npm start` runs. */
export const mainFile = join(root, 'dist/main.js')

/** A hash of everything that goes into the build. */
const stampOfSources = (): string => {
  const hash = createHash('sha256')
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' }).sort()
  for (const file of ['package.json', 'tsconfig.json', ...sources.map(name => join('src', name))]) {
    const { mtimeMs, size } = statSync(join(root, file))
    hash.update(`${file} ${mtimeMs} ${size}\n`)
  }
  return hash.digest('hex')
}

const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '')

const isUpToDate = (): boolean => existsSync(mainFile) && textOf(stampFile) === stampOfSources()

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until this process alone may build. Removes the lock of a dead process. */
const lock = async (): Promise<void> => {
  mkdirSync(join(root, '.tap'), { recursive: true })
  for (;;) {
    try {
      writeFileSync(lockFile, String(process.pid), { flag: 'wx' })
      return
    } catch {
      const holder = textOf(lockFile)
      if (holder !== '' && !isAlive(Number(holder))) rmSync(lockFile, { force: true })
      await delay(50)
    }
  }
}

const build = async (): Promise<void> => {
  const stamp = stampOfSources()
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  await promisify(execFile)(...plain('npm', ['run', '--silent', 'build']), { cwd: root })
  writeFileSync(stampFile, stamp)
}

/** Set by `npm test`, which builds before its first test: later edits do not change the build. */
export const builtVariable = 'DIST_IS_BUILT'

if (process.env[builtVariable] === undefined && !isUpToDate()) {
  await lock()
  try {
    // Another test file may have built it in the meantime.
    if (!isUpToDate()) await build()
  } finally {
    rmSync(lockFile, { force: true })
  }
}
