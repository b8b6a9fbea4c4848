import { unixPrefix } from '../config/unix-path.js'

/** The URL of what listens on a host and port. */
export function urlOf(scheme: 'http' | 'https', host: string, port: number): string {
  // As Docker and others write it: there is no standard for URLs of Unix sockets.
  if (host.startsWith(unixPrefix)) return `${scheme}+${host}`
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}
