import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * Returns the directory of an example. Installs its packages once; `npm ci` at the top leaves them
 * out.
 */
export function exampleDirectory(name: string): string {
  const directory = fileURLToPath(new URL(`../../examples/${name}/`, import.meta.url))
  if (existsSync(`${directory}node_modules/.package-lock.json`)) return directory
  runIn(directory, 'npm', 'ci', '--no-audit', '--no-fund', '--ignore-scripts')
  return directory
}

/**
 * Runs a command to its end.
 * @throws Error with its output if it failed
 */
export function runIn(directory: string, command: string, ...args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: directory, encoding: 'utf8' })
  if (status !== 0)
    throw new Error(`${[command, ...args].join(' ')} failed in ${directory}:\n${stdout}${stderr}`)
}
