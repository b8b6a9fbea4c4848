import type { HttpResponse } from 'uWebSockets.js'

/** A complete response. */
export interface Answer {
  /** Such as `404 Not Found`. */
  readonly status: string
  readonly contentType?: string | undefined
  /** The `Origin` of a page that may read the response, '' for none. */
  readonly origin?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Absent for a response without a body. */
  readonly body?: string | undefined
  /** Whether to close the connection afterwards. */
  readonly closes?: boolean
}

const exposedHeaders = 'retry-after, www-authenticate'

/** For a year, browsers open this name by TLS only (RFC 6797). */
const strictTransport = 'max-age=31536000'

/**
 * Writes the status line and the headers. Caches must not keep any response.
 * @param isStrict whether browsers are told to come by TLS from now on
 */
export function writeHead(
  res: HttpResponse,
  { status, contentType, origin, headers }: Answer,
  isStrict: boolean,
): void {
  // uWS writes this status by itself.
  if (status !== '200 OK') res.writeStatus(status)
  if (contentType !== undefined)
    res.writeHeader('content-type', contentType).writeHeader('cache-control', 'no-store')
  if (origin !== undefined && origin !== '')
    res
      .writeHeader('access-control-allow-origin', origin)
      .writeHeader('access-control-expose-headers', exposedHeaders)
      .writeHeader('vary', 'origin')
  if (isStrict) res.writeHeader('strict-transport-security', strictTransport)
  if (headers !== undefined) for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value)
}
