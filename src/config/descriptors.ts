interface Report {
  readonly userLimits?: { readonly open_files?: { readonly soft?: unknown } }
}

/**
 * Returns how many file descriptors this process may open, or undefined if there is no limit or
 * none is known (Windows). It reads Node's own report, which works on every platform but takes some
 * milliseconds.
 */
export function descriptorLimit(): number | undefined {
  // Windows has no such limit, and its reports list none.
  if (process.platform === 'win32') return undefined
  const { report } = process
  const before: unknown = Reflect.get(report, 'excludeNetwork')
  // Otherwise the report resolves the peers of all open sockets, and waits for that.
  Reflect.set(report, 'excludeNetwork', true)
  const { userLimits }: Report = report.getReport()
  Reflect.set(report, 'excludeNetwork', before)
  const soft = userLimits?.open_files?.soft
  return typeof soft === 'number' ? soft : undefined
}

/**
 * How many sockets of a gate, over all threads, may be open before they have authenticated. They
 * are counted separately from the others, except by address.
 */
export const maxUnidentified = 256

const reserveAtLeast = 64
const reserveShare = 0.05

export interface DescriptorNeeds {
  /** Connections that are counted separately. */
  readonly countedApart?: number
  /** Whether each connection may need another one, to an upstream server. */
  readonly hasTunnels?: boolean
}

/**
 * Returns how many connections `limit` descriptors allow, minus those counted apart and a reserve
 * of 64 or 5 %, whichever is larger, for listeners, files and the admin port. At least 1, because 0
 * means no cap; 0 only if there is no limit.
 */
export function connectionsWithin(
  limit: number | undefined,
  { countedApart = 0, hasTunnels = false }: DescriptorNeeds = {},
): number {
  if (limit === undefined) return 0
  const reserve = Math.max(reserveAtLeast, Math.ceil(limit * reserveShare))
  return Math.max(1, Math.floor((limit - reserve - countedApart) / (hasTunnels ? 2 : 1)))
}
