/**
 * Runs the tests of one tier with tap, then says in one line what to install for those that were skipped.
 *
 *     tsx test/support/run.ts [--unit | --slow] [arguments of tap]
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { howToInstall, isProgram, missingDirectoryVariable } from './programs.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

const importsOf = (file: string): string[] => {
  const specifiers = /\b(?:from|import)\s*\(?\s*'([^']+)'/g
  return [...readFileSync(file, 'utf8').matchAll(specifiers)].map(([, name = '']) =>
    name.startsWith('.') ? resolve(dirname(file), name).replace(/\.js$/, '.ts') : name,
  )
}

/** Imports that start processes, threads or a whole gate. */
const heavy =
  /^(node:child_process|esbuild|playwright-core)$|\/test\/support\/thread\.ts$|\/src\/gate\/build\.ts$/

/** Whether a test file imports anything heavy, directly or through others. */
const isHeavy = (test: string): boolean => {
  const seen = new Set([test])
  for (const file of seen) {
    if (heavy.test(file)) return true
    if (existsSync(file)) for (const name of importsOf(file)) seen.add(name)
  }
  return false
}

/** The unit tier: all test files that are not heavy. */
const unitTests = (): string[] =>
  readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts'))
    .map(name => join(root, 'test', name))
    .filter(test => !isHeavy(test))

/**
 * Writes files that import the tests, and returns their paths. To load tap and the sources takes longer
 * than most of these tests; this way, a few processes do it once instead of one for each file.
 */
const inFewProcesses = (tests: readonly string[], processes = 3): string[] =>
  Array.from({ length: processes }, (_, process) => {
    // tap writes the results of files elsewhere into the top level of the project.
    const path = join(root, '.tap', 'unit', `${process + 1}.mjs`)
    const own = tests.filter((_, index) => index % processes === process)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(
      path,
      own.map(test => `await import(${JSON.stringify(pathToFileURL(test).href)})\n`).join(''),
    )
    return path
  })

const directory = mkdtempSync(join(tmpdir(), 'ticketgate-missing-'))
const [tier, ...others] = process.argv.slice(2)
const more = tier === undefined ? [] : [tier, ...others]
const args =
  tier === '--unit'
    ? ['--jobs=3', ...inFewProcesses(unitTests()), ...others]
    : tier === '--slow'
      ? ['--jobs=1', '--include=test/**/*.slow.ts', ...others]
      : more

// The unit tier needs no build.
const built = tier === '--unit' ? {} : await import('./built.js').then(it => ({ [it.builtVariable]: '1' }))
const tap = spawn(process.execPath, [join(root, 'node_modules/tap/dist/esm/run.mjs'), ...args], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, ...built, [missingDirectoryVariable]: directory },
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => tap.kill(signal))
tap.once('close', (code, signal) => {
  const missing = readdirSync(directory).filter(isProgram)
  rmSync(directory, { recursive: true })
  if (missing.length > 0)
    console.error(`Skipped tests that need ${missing.join(', ')}. ${howToInstall(missing)}`)
  if (signal === null) process.exit(code ?? 1)
  process.kill(process.pid, signal)
})
