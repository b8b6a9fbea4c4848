/**
 * Decides whether web pages of an origin may use this server. Matches whole serialised origins
 * only.
 */
export interface OriginPolicy {
  /**
   * @param origin the `Origin` header, not empty; `null` never passes
   * @param own returns our own origin as this client sees it; called only if the policy needs it
   */
  allows(origin: string, own: () => string): boolean
}

export interface OriginPolicyOptions {
  /**
   * Serialised origins. Empty = the server's own origin, and in development any on this machine.
   */
  readonly origins: readonly string[]
  readonly production: boolean
}

const localOrigin = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/

export function createOriginPolicy({ origins, production }: OriginPolicyOptions): OriginPolicy {
  if (origins.length > 0) {
    const allowed = new Set(origins)
    return { allows: origin => allowed.has(origin) }
  }
  return {
    allows: (origin, own) => (!production && localOrigin.test(origin)) || origin === own(),
  }
}
