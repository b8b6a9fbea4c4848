import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { StartupError } from '../errors.js'
import { raiseHeaderLimit } from './header-limit.js'

const require = createRequire(import.meta.url)

/** The Node of each binary, by the version of its binary interface (`process.versions.modules`). */
const nodeOf: Readonly<Record<string, number>> = { 115: 20, 127: 22, 131: 23, 137: 24, 141: 25 }

/**
 * Loads uWebSockets.js, set to accept headers with a token of `maxTokenBytes`. Its own error names
 * the wrong versions of Node.
 * @throws StartupError `uwebsockets_unavailable`, one line that says what is missing and what to
 * install
 */
export function requireUWebSockets(maxTokenBytes: number): void {
  raiseHeaderLimit(maxTokenBytes)
  try {
    require('uWebSockets.js')
  } catch (error) {
    throw new StartupError('uwebsockets_unavailable', reasonOf(error), { cause: error })
  }
}

function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  const here = `Node ${process.versions.node} on ${process.platform} ${process.arch}`
  const names = binaries()
  if (names === undefined) return 'uWebSockets.js is not installed, which the server needs: npm ci'
  const own = names.filter(name => name.startsWith(`uws_${process.platform}_${process.arch}_`))
  if (own.length === 0)
    return `uWebSockets.js has no binary for ${process.platform} on ${process.arch}: it runs on Linux with glibc, macOS and Windows`
  const nodes = own.flatMap(name => nodeOf[/_(\d+)\.node$/.exec(name)?.[1] ?? ''] ?? []).sort()
  const install = `install Node ${new Intl.ListFormat('en', { type: 'disjunction' }).format(nodes.map(String))}`
  if (!own.some(name => name.endsWith(`_${process.versions.modules}.node`)))
    return `uWebSockets.js has no binary for ${here}: ${install}`
  return libraryFault(message, here) ?? `uWebSockets.js cannot be loaded by ${here}: ${lastLine(message)}`
}

/** The names of the binaries. Undefined if the package is not installed. */
function binaries(): string[] | undefined {
  try {
    const directory = dirname(require.resolve('uWebSockets.js'))
    return readdirSync(directory).filter(name => name.endsWith('.node'))
  } catch {
    return undefined
  }
}

/** Explains a wrong or too old C library. Returns undefined if that is not the cause. */
function libraryFault(message: string, here: string): string | undefined {
  if (process.platform !== 'linux') return undefined
  const found = glibcVersion()
  if (found === undefined)
    return `uWebSockets.js needs glibc, which this system does not have (Alpine has musl): use one such as Debian, or the image node:24-trixie-slim`
  const needed = /version `GLIBC_([\d.]+)' not found/.exec(message)?.[1]
  if (needed === undefined) return undefined
  return `uWebSockets.js for ${here} needs glibc ${needed} or later, and this system has ${found}: install Node 22, or a later system such as Debian 13 or Ubuntu 24.04`
}

function glibcVersion(): string | undefined {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  return header?.glibcVersionRuntime
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''
