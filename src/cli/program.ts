import { isAbsolute, relative } from 'node:path'

/** A word as a POSIX shell reads it back. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/**
 * How to call this program, to be pasted into a shell in this directory: the way in which it was called. No name that
 * `npx` might fetch from a registry, where it is not ours.
 */
export function program(script = process.argv[1] ?? 'dist/main.js', cwd = process.cwd()): string {
  const near = relative(cwd, script)
  return `node ${shellWord(near.startsWith('..') || isAbsolute(near) ? script : near)}`
}
