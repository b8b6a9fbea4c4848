/**
 * Runs the tests of one tier with tap, then says in one line what to install for those that were skipped.
 *
 *     tsx test/support/run.ts [--unit | --slow] [arguments of tap]
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
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
    .map(test => relative(root, test))

const [tier, ...others] = process.argv.slice(2)
const more = tier === undefined ? [] : [tier, ...others]
const args =
  tier === '--unit'
    ? [...unitTests(), ...others]
    : tier === '--slow'
      ? ['--jobs=1', '--include=test/**/*.slow.ts', ...others]
      : more

// The unit tier needs no build.
const built = tier === '--unit' ? {} : await import('./built.js').then(it => ({ [it.builtVariable]: '1' }))
const directory = mkdtempSync(join(tmpdir(), 'ticketgate-missing-'))
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
