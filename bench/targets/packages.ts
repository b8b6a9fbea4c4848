import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('..', import.meta.url))

/**
 * Installs the packages of the peers and the charting library, once. `npm ci` at the top leaves
 * them out.
 */
export const installPackages = (): void => {
  if (existsSync(`${here}node_modules/.package-lock.json`)) return
  process.stderr.write('installing bench/package.json …\n')
  const { status, stderr } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: here,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`its packages are not installed (cd bench && npm ci): ${stderr?.trim()}`)
}
