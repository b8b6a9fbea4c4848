import { type ParsedUrl, platform } from './platform.js'

/** @throws TypeError where an option is not given and the platform has none */
export function given<Value>(name: string, value: Value | undefined): Value {
  if (value === undefined) throw new TypeError(`${name}: there is none here, so pass one`)
  return value
}

/**
 * Scheme, host and path of the server, without a slash at the end.
 * @throws TypeError
 */
export function baseOf(url: string): string {
  let parsed: ParsedUrl | undefined
  try {
    parsed = new platform.URL(url, platform.location?.href)
  } catch {
    // One answer, below, for all that will not do.
  }
  const protocol = parsed?.protocol.replace(/^ws/, 'http')
  if (parsed === undefined || !(protocol === 'http:' || protocol === 'https:'))
    throw new TypeError('url: this is no http, https, ws or wss URL')
  return `${protocol}//${parsed.host}${parsed.pathname.replace(/\/+$/, '')}`
}
