import type { Dispatcher } from 'undici'
import { proxyVariables } from '../config/egress-proxy.js'
import { isLoopback } from '../config/value-types.js'

/** Downloads small documents of an identity provider: completely, in time, within a size, or not at all. */
export interface Downloader {
  /**
   * The text at a URL. Redirects are not followed: they could lead away from the host that the
   * operator trusts.
   * @throws Error that says why there is none
   */
  download(url: string): Promise<string>
  /** Ends downloads that are under way, and connections. */
  close(): void
}

export interface DownloadOptions {
  /** Of each download, from the call to the last byte. */
  readonly timeoutMs: number
  readonly maxBytes: number
  /** Certificates that are trusted in place of those of the system, as PEM. */
  readonly ca?: string | undefined
}

export async function openDownloader({ timeoutMs, maxBytes, ca }: DownloadOptions): Promise<Downloader> {
  // Loaded when it is needed: most of its code is for what a gate never does.
  const { Agent, EnvHttpProxyAgent, fetch } = await import('undici')
  const tls = ca === undefined ? {} : { ca }
  const direct = new Agent({ connect: tls })
  const byProxy = isProxySet() ? new EnvHttpProxyAgent({ connect: tls, requestTls: tls }) : undefined
  const closing = new AbortController()

  // A proxy cannot reach the loopback of this machine.
  const dispatcherFor = (url: string): Dispatcher =>
    byProxy === undefined || isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, '')) ? direct : byProxy

  async function read(url: string, signal: AbortSignal): Promise<string> {
    const response = await fetch(url, {
      signal,
      redirect: 'error',
      dispatcher: dispatcherFor(url),
      headers: { accept: 'application/json, application/jwk-set+json' },
    })
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel()
      throw new Error(`status ${response.status}`)
    }
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      length += chunk.byteLength
      if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  }

  return {
    async download(url) {
      // Not AbortSignal.any with AbortSignal.timeout: on Node 20 the garbage collector may take that
      // time limit away (nodejs/node#57736). A timer of our own stays until it is cleared.
      const abort = new AbortController()
      const end = (): void => abort.abort(closing.signal.reason)
      const timer = setTimeout(() => abort.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
      closing.signal.addEventListener('abort', end, { once: true })
      try {
        return await read(url, abort.signal)
      } finally {
        clearTimeout(timer)
        closing.signal.removeEventListener('abort', end)
      }
    },
    close() {
      closing.abort(new Error('closed'))
      void direct.destroy()
      void byProxy?.destroy()
    },
  }
}

const isProxySet = (): boolean => proxyVariables.some(name => (process.env[name] ?? '') !== '')

/** Why a download failed, for the log: an error of `fetch` says it in its cause, if at all. */
export function failureOf(error: unknown): { readonly reason: string; readonly hint?: string } {
  const causes = causesOf(error)
  const reason = causes.map(each => each.message || codeOf(each)).join(': ') || 'unknown'
  const variables = proxyVariables.filter(name => (process.env[name] ?? '') !== '')
  if (variables.length > 0)
    return { reason, hint: `${variables.join(', ')} set: the proxy may refuse this host` }
  return causes.some(isUnreachable)
    ? { reason, hint: 'set HTTPS_PROXY if this machine reaches the provider through a proxy' }
    : { reason }
}

const causesOf = (error: unknown): readonly Error[] =>
  error instanceof Error ? [error, ...causesOf(error.cause)] : []

const codeOf = (error: Error): string => ('code' in error ? String(error.code) : error.name)

const isUnreachable = (error: Error): boolean =>
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|UND_ERR_CONNECT_TIMEOUT)$/.test(
    codeOf(error),
  ) || error.message.startsWith('no answer within')
