import { clock } from '../clock.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import { type KeySet, readKeySet } from '../token/key-set.js'
import type { ProviderKeys } from '../token/provider.js'

const maxBytes = 262_144

// Providers publish a key well before they sign with it, so that it is here by then.
const refreshMs = 300_000
const timeoutMs = 5_000
const retryMs = { first: 1_000, longest: 60_000 }

// Anybody can send tokens that name keys which do not exist: that must not make us a flood for the provider.
const missIntervalMs = 10_000
const missBurst = 6

export interface ProviderKeysParts {
  readonly log: Log
  readonly counters: Pick<Counters, 'keyFetches'>
  /** @default 300_000 */
  readonly refreshMs?: number
  /** @default 5_000 */
  readonly timeoutMs?: number
}

export interface OpenProviderKeys extends ProviderKeys {
  close(): void
}

/**
 * Keeps the keys of an identity provider as it publishes them under `url`: fetched now, then again every few minutes,
 * when a token names an unknown one, and soon after a failure. What was read last stays when a fetch fails. Nobody
 * waits for a fetch but the caller of this function, and that for the first one only, whatever comes of it.
 */
export async function openProviderKeys(url: string, parts: ProviderKeysParts): Promise<OpenProviderKeys> {
  const { log, counters } = parts
  const closing = new AbortController()
  let set: KeySet | undefined
  let lastText = ''
  let failures = 0
  let isFetching = false
  let missArrivalMs = 0
  let timer: NodeJS.Timeout | undefined
  let dueAtMs = 0

  function schedule(waitMs: number): void {
    if (closing.signal.aborted) return
    clearTimeout(timer)
    dueAtMs = clock() + waitMs
    timer = setTimeout(() => void refresh(), waitMs)
    timer.unref()
  }

  async function refresh(): Promise<void> {
    isFetching = true
    try {
      const text = await download(
        url,
        AbortSignal.any([closing.signal, AbortSignal.timeout(parts.timeoutMs ?? timeoutMs)]),
      )
      if (text !== lastText) {
        set = readKeySet(text)
        lastText = text
        log.info({ keys: set.size }, 'keys of the identity provider read')
      }
      failures = 0
      increment(counters.keyFetches, 'ok')
      schedule(parts.refreshMs ?? refreshMs)
    } catch (error) {
      if (closing.signal.aborted) return
      increment(counters.keyFetches, 'failed')
      const consequence = set === undefined ? 'no token can be verified' : 'those read before stay'
      log.error({ reason: reasonOf(error) }, `no keys from the identity provider; ${consequence}`)
      schedule(Math.min(retryMs.first * 2 ** failures, retryMs.longest))
      failures++
    } finally {
      isFetching = false
    }
  }

  await refresh()
  return {
    current: () => set,
    missed() {
      if (isFetching) return
      const nowMs = clock()
      const waitMs = Math.max(0, missArrivalMs - nowMs - (missBurst - 1) * missIntervalMs)
      if (nowMs + waitMs >= dueAtMs) return
      missArrivalMs = Math.max(missArrivalMs, nowMs) + missIntervalMs
      schedule(waitMs)
    },
    close() {
      closing.abort()
      clearTimeout(timer)
    },
  }
}

/**
 * The text under a URL, if it comes whole, in time and is not too long. A redirect is not followed: it could lead away
 * from the host that the operator trusts.
 */
async function download(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, {
    signal,
    redirect: 'error',
    headers: { accept: 'application/jwk-set+json, application/json' },
  })
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel()
    throw new Error(`status ${response.status}`)
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body) {
    length += chunk.byteLength
    if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}

/** `fetch` says what went wrong in the cause, if at all. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
