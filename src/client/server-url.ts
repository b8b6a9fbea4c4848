import { platform } from './platform.js'

// A pattern, because React Native's own URL class has no host: its members throw, or are empty.
const form =
  /^(http|ws)(s?):\/\/((?:\[[\da-f:.]+\]|[^\s/?#@\\:[\]]+)(?::\d+)?)((?:\/[^\s?#\\]*)?)(?:[?#].*)?$/i

/**
 * Returns scheme, host and path of the server at `url`, as `https://example.com/base`: http or https, without a
 * default port, without a slash at the end.
 * @param url http, https, ws or wss; in a page also relative to it
 * @throws TypeError if it is none of these
 */
export function baseOf(url: string): string {
  const [, , secure, host = '', path = ''] = form.exec(url) ?? form.exec(resolved(url)) ?? []
  if (secure === undefined) throw new TypeError('url: must be an http, https, ws or wss URL')
  // A WebSocket of React Native would repeat a default port in its Origin, which no browser does.
  const authority = host.toLowerCase().replace(secure === '' ? /:80$/ : /:443$/, '')
  return `http${secure.toLowerCase()}://${authority}${path.replace(/\/+$/, '')}`
}

/**
 * Returns the ws or wss URL of a WebSocket server, with its query.
 * @throws TypeError if `url` is no http, https, ws or wss URL, in a page also relative to it
 */
export function socketUrlOf(url: string): string {
  const whole = form.test(url) ? url : resolved(url)
  if (!form.test(whole)) throw new TypeError('socketUrl: must be an http, https, ws or wss URL')
  return whole.replace(/^http/i, 'ws').replace(/#.*/, '')
}

function resolved(url: string): string {
  const { location, URL } = platform
  try {
    return location === undefined ? '' : new URL(url, location.href).href
  } catch {
    return ''
  }
}
