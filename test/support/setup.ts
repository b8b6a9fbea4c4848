/**
 * Installs the missing programs that tests need, as root on Debian or Ubuntu: `npm run test:setup`.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { debianPackages, howToInstall, isPresent, type ProgramName, programNames } from './programs.js'

const run = (command: string, ...args: readonly string[]): void => {
  console.log(`$ ${command} ${args.join(' ')}`)
  execFileSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}

const system = (): string => {
  try {
    return /^ID=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? ''
  } catch {
    return ''
  }
}

const install = (absent: readonly ProgramName[]): void => {
  // Ubuntu has Chromium only as a snap, which does not run in containers.
  const fromPlaywright = system() === 'ubuntu' && absent.includes('chromium')
  const packages = debianPackages(absent.filter(name => !(fromPlaywright && name === 'chromium')))
  run('apt-get', 'update', '-qq')
  const quiet = ['-y', '-qq', '-o', 'Dpkg::Use-Pty=0', '--no-install-recommends']
  if (packages.length > 0) run('apt-get', 'install', ...quiet, ...packages)
  if (fromPlaywright) run('npx', 'playwright-core', 'install', '--with-deps', 'chromium')
}

const absent = programNames.filter(name => !isPresent(name))
if (absent.length > 0) {
  if (!['debian', 'ubuntu'].includes(system()) || process.getuid?.() !== 0) {
    console.error(`test:setup needs root on Debian or Ubuntu. ${howToInstall(absent)}`)
    process.exit(1)
  }
  install(absent)
}
