// Any Node with ES modules must be able to load this file, so it avoids newer syntax.

/** The oldest Node that has everything that we and our dependencies use. */
const oldest = [20, 18, 1]

/**
 * Returns why no command can run on this version of Node, or undefined if they can. `serve` checks
 * later whether uWebSockets.js has a binary for it.
 */
export function unsupportedNode(version: string): string | undefined {
  const parts = version.split('.').map(Number)
  const differing = oldest.findIndex((part, index) => parts[index] !== part)
  if (differing < 0 || Number(parts[differing]) > Number(oldest[differing])) return undefined
  return `Node ${version} is too old: install Node ${oldest.join('.')} or later, such as Node 22 or 24`
}
