/** The form of an `Origin` that identifies its pages, as clients write it. */

// Shared by the pages of all files, or of any data: allowing one would allow all of them.
const shared: ReadonlySet<string> = new Set(['null:', 'file:', 'data:', 'blob:'])

// Their URLs have an origin, but no page does.
const withoutPages: ReadonlySet<string> = new Set(['ws:', 'wss:', 'ftp:'])

const opaqueHost = /^(?:[A-Za-z0-9._~-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/

/**
 * The serialised origin of a URL (HTML, section 7.1.1), also for the schemes of apps and browser
 * extensions, such as `capacitor://localhost`; undefined for a URL without one. The URL standard
 * calls the latter opaque and keeps the case of their hosts, and clients send them all the same.
 */
export function serializedOrigin(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || shared.has(url.protocol) || withoutPages.has(url.protocol)) return undefined
  if (url.protocol === 'http:' || url.protocol === 'https:') return url.origin
  return opaqueHost.test(url.host) ? `${url.protocol}//${url.host}` : undefined
}
