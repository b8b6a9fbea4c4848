import type { Dispatcher } from 'undici'
import { proxyVariables } from '../config/egress-proxy.js'
import { isLoopback } from '../config/value-types.js'
import { freshnessOf } from './freshness.js'

export interface DownloadOptions {
  /** Limit on each download, from the call to the last byte. */
  readonly timeoutMs: number
  readonly maxBytes: number
  /** Certificates to trust instead of the system's, as PEM. */
  readonly ca?: string | undefined
}

/** A document, and how long it may be used, in milliseconds, if its server says so. */
export interface Download {
  readonly text: string
  readonly freshForMs: number | undefined
}

type Undici = typeof import('undici')

/** Downloads small documents of an identity provider, within a time and a size. */
export class Downloader {
  readonly #options: DownloadOptions
  readonly #fetch: Undici['fetch']
  readonly #direct: Dispatcher
  readonly #byProxy: Dispatcher | undefined
  readonly #closing = new AbortController()

  private constructor(options: DownloadOptions, { Agent, EnvHttpProxyAgent, fetch }: Undici) {
    const tls = options.ca === undefined ? {} : { ca: options.ca }
    this.#options = options
    this.#fetch = fetch
    this.#direct = new Agent({ connect: tls })
    this.#byProxy = isProxySet() ? new EnvHttpProxyAgent({ connect: tls, requestTls: tls }) : undefined
  }

  /** Loads undici, which most gates do not need. */
  static async open(options: DownloadOptions): Promise<Downloader> {
    return new Downloader(options, await import('undici'))
  }

  /**
   * Returns the document at a URL. Does not follow redirects: they could lead away from the host
   * that the operator trusts.
   * @throws Error that says why it failed
   */
  async download(url: string): Promise<Download> {
    const { timeoutMs } = this.#options
    const closing = this.#closing.signal
    // Not AbortSignal.any with AbortSignal.timeout: on Node 20 the garbage collector may collect
    // that timeout (nodejs/node#57736). A timer of our own stays until it is cleared.
    const abort = new AbortController()
    const end = (): void => abort.abort(closing.reason)
    const timer = setTimeout(() => abort.abort(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    closing.addEventListener('abort', end, { once: true })
    try {
      return await this.#read(url, abort.signal)
    } finally {
      clearTimeout(timer)
      closing.removeEventListener('abort', end)
    }
  }

  /** Ends running downloads and closes connections. */
  close(): void {
    this.#closing.abort(new Error('closed'))
    void this.#direct.destroy()
    void this.#byProxy?.destroy()
  }

  async #read(url: string, signal: AbortSignal): Promise<Download> {
    const { maxBytes } = this.#options
    const fetch = this.#fetch
    const response = await fetch(url, {
      signal,
      redirect: 'error',
      dispatcher: this.#dispatcherFor(url),
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
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
    return { text, freshForMs: freshnessOf(response.headers, Date.now()) }
  }

  /** A proxy cannot reach the loopback interface of this machine. */
  #dispatcherFor(url: string): Dispatcher {
    const isLocal = isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ''))
    return this.#byProxy === undefined || isLocal ? this.#direct : this.#byProxy
  }
}

const isProxySet = (): boolean => proxyVariables.some(name => (process.env[name] ?? '') !== '')

/**
 * Why a download failed, for the log. `fetch` puts the reason into the cause of its error, if
 * anywhere.
 */
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
