import { platform } from './platform.js'

// A pattern, because the members of React Native's own URL class throw or are empty.
const form =
  /^(?:http|ws)(s?):\/\/((?:\[[\da-f:.]+\]|[^\s/?#@\\:[\]]+)(?::\d+)?)((?:\/[^\s?#\\]*)?)(\?[^\s#]*)?(?:#.*)?$/i

interface Parts {
  /** `s`, or nothing. */
  readonly secure: string
  readonly authority: string
  readonly path: string
  readonly query: string
}

/**
 * Returns scheme, host and path of the server at `url`, as `https://example.com/base`: http or
 * https, without a default port, without a slash at the end.
 * @param url http, https, ws or wss; in a page also relative to it
 * @throws TypeError if it is none of these
 */
export function baseOf(url: string): string {
  const { secure, authority, path } = partsOf('url', url)
  return `http${secure}://${authority}${path.replace(/\/+$/, '')}`
}

/**
 * Returns the ws or wss URL of a WebSocket server, with its query, without a default port.
 * @param url http, https, ws or wss; in a page also relative to it
 * @throws TypeError if it is none of these
 */
export function socketUrlOf(url: string): string {
  const { secure, authority, path, query } = partsOf('socketUrl', url)
  return `ws${secure}://${authority}${path}${query}`
}

function partsOf(option: string, url: string): Parts {
  const [, secure, host = '', path = '', query = ''] = form.exec(url) ?? form.exec(resolved(url)) ?? []
  if (secure === undefined) throw new TypeError(`${option}: must be an http, https, ws or wss URL`)
  // React Native would repeat a default port in the Origin of a WebSocket, which no browser does.
  const authority = host.toLowerCase().replace(secure === '' ? /:80$/ : /:443$/, '')
  return { secure: secure.toLowerCase(), authority, path, query }
}

function resolved(url: string): string {
  const { location, URL } = platform
  try {
    return location === undefined ? '' : new URL(url, location.href).href
  } catch {
    return ''
  }
}
