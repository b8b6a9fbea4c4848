interface Report {
  readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } }
}

/**
 * How many file descriptors this process may hold, or undefined where there is no limit or none is told (Windows).
 * Read from Node's own report, the one way that every platform has; it takes some milliseconds, so ask once.
 */
export function descriptorLimit(): number | undefined {
  const { report } = process
  const before: unknown = Reflect.get(report, 'excludeNetwork')
  // Else the report resolves the peers of all open sockets, and waits for it.
  Reflect.set(report, 'excludeNetwork', true)
  const { userLimits }: Report = report.getReport()
  Reflect.set(report, 'excludeNetwork', before)
  const soft = userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : undefined
}

/**
 * How many sockets of a gate, over all its threads, may be open that have not yet said whose they
 * are. They are counted apart from all others, except by their address.
 */
export const maxUnidentified = 256

const reserveAtLeast = 64
const reserveShare = 0.05

/**
 * How many connections `limit` descriptors allow, after a reserve of 64 or 5 % (the larger) for listeners, files and
 * the admin port, and of what is counted apart. At least 1, since 0 means no cap; 0 only when there is no limit.
 */
export function connectionsWithin(limit: number | undefined, countedApart = 0): number {
  if (limit === undefined) return 0
  const reserve = Math.max(reserveAtLeast, Math.ceil(limit * reserveShare))
  return Math.max(1, limit - reserve - countedApart)
}
