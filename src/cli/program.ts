import { isAbsolute, relative } from 'node:path'

/** Quotes a word for a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/**
 * Returns how to call this program from a shell in this directory, the way it was called. Never a
 * name that `npx` might fetch from a registry, where it is not ours.
 */
export function program(script = process.argv[1] ?? 'dist/main.js', cwd = process.cwd()): string {
  const near = relative(cwd, script)
  return `node ${shellWord(near.startsWith('..') || isAbsolute(near) ? script : near)}`
}
