// Read by any Node with ES modules, however old, so without newer syntax.

/** The oldest Node that has all that is used here, by us and by our dependencies. */
const oldest = [20, 18, 1]

/**
 * Why no command can run on this version of Node, or undefined when they can. What it takes to serve, a binary of
 * uWebSockets.js, is looked at when something is to be served.
 */
export function unsupportedNode(version: string): string | undefined {
  const parts = version.split('.').map(Number)
  const differing = oldest.findIndex((part, index) => parts[index] !== part)
  if (differing < 0 || Number(parts[differing]) > Number(oldest[differing])) return undefined
  return `Node ${version} is too old: install Node ${oldest.join('.')} or later, such as Node 22 or 24`
}
