// providers/: the keys of identity providers, fetched ahead of requests. No request ever waits here.

import { LRUCache } from 'lru-cache'
import { clock } from '../clock.js'
import type { Log } from '../telemetry/log.js'
import { type Counters, increment } from '../telemetry/metrics.js'
import type { KeySource } from '../token/issuer.js'
import { type KeySet, readKeySet } from '../token/key-set.js'
import { discoverKeys } from './discovery.js'
import { Downloader, failureOf } from './download.js'

const maxBytes = 262_144

// Providers publish a key well before they sign with it, so it is known here in time.
const refreshMs = 300_000
// Bounds on caching headers: providers are not asked too often, and a withdrawn key is not trusted
// for hours.
const fresh = { leastMs: 60_000, mostMs: 900_000 }
const timeoutMs = 5_000
const retryMs = { first: 1_000, longest: 60_000 }

// Anybody can send tokens that name unknown keys. Fetches for them are limited, to protect the
// provider, but frequent: a token signed with a new key waits no longer than this.
const missIntervalMs = 2_000
const missBurst = 6

// Providers may publish a key late. A key that was not found is looked up again after this.
const missingForMs = 10_000
const maxMissing = 1_000
const maxKidLength = 256

/** Where the keys are: at a URL, or where the issuer's metadata says. */
export type KeyLocation = { readonly ca?: string | undefined } & (
  | { readonly url: string }
  | { readonly issuer: string; readonly allowHttp: boolean }
)

export interface ProviderKeysOptions {
  /** The name of the provider in the log. */
  readonly name: string
  readonly log: Log
  readonly counters: Pick<Counters, 'keyFetches'>
  /**
   * How often keys are fetched if their provider does not say how long they may be used.
   * @default 300_000
   */
  readonly refreshMs?: number
  /**
   * Bounds on the interval between fetches, whatever the provider says.
   * @default { leastMs: 60_000, mostMs: 900_000 }
   */
  readonly fresh?: { readonly leastMs: number; readonly mostMs: number }
  /** @default 5_000 */
  readonly timeoutMs?: number
}

/**
 * The published keys of an identity provider. They are fetched at the start, then as often as their
 * caching headers say or every few minutes, when a token names an unknown key, and soon after a
 * failure. If a fetch fails, the previous keys stay. No request waits for a fetch.
 */
export class ProviderKeys implements KeySource {
  readonly #location: KeyLocation
  readonly #options: ProviderKeysOptions
  readonly #downloader: Downloader
  /** When each missing key name was first requested. */
  readonly #missing = new LRUCache<string, number>({ max: maxMissing })
  /** The URL of the keys according to the metadata, and until when it is valid. */
  #found: { readonly url: string; readonly untilMs: number } | undefined
  #set: KeySet | undefined
  #lastText = ''
  #failures = 0
  #isClosed = false
  #timer: NodeJS.Timeout | undefined
  #dueAtMs = 0
  #isFetching = false
  /** When the fetch of the current set began, and the last fetch. */
  #asOfMs = Number.NEGATIVE_INFINITY
  #begunAtMs = 0
  /** Whether a name was requested after the current fetch began. */
  #isWanted = false
  /** The schedule of fetches for unknown names, as a leaky bucket. */
  #missArrivalMs = 0

  private constructor(location: KeyLocation, options: ProviderKeysOptions, downloader: Downloader) {
    this.#location = location
    this.#options = options
    this.#downloader = downloader
  }

  /** Resolves after the first fetch, whatever its outcome. */
  static async open(location: KeyLocation, options: ProviderKeysOptions): Promise<ProviderKeys> {
    const { ca } = location
    const downloader = await Downloader.open({ timeoutMs: options.timeoutMs ?? timeoutMs, maxBytes, ca })
    const keys = new ProviderKeys(location, options, downloader)
    await keys.#refresh()
    return keys
  }

  current(): KeySet | undefined {
    return this.#set
  }

  missing(kid: string, nowMs: number): number | undefined {
    // No real key has such a name, and remembering them would take memory.
    if (kid.length > maxKidLength) return undefined
    let sinceMs = this.#missing.get(kid)
    if (sinceMs === undefined || nowMs - sinceMs >= missingForMs) {
      sinceMs = nowMs
      this.#missing.set(kid, sinceMs)
    }
    if (this.#asOfMs >= sinceMs) return undefined
    if (!this.#isFetching) this.#bringForward(nowMs)
    else if (this.#begunAtMs < sinceMs) this.#isWanted = true
    return Math.max(0, this.#dueAtMs - nowMs)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#downloader.close()
  }

  /** Moves the next fetch to the earliest time that the limit for unknown names allows. */
  #bringForward(nowMs: number): void {
    const waitMs = Math.max(0, this.#missArrivalMs - nowMs - (missBurst - 1) * missIntervalMs)
    if (nowMs + waitMs >= this.#dueAtMs) return
    this.#missArrivalMs = Math.max(this.#missArrivalMs, nowMs) + missIntervalMs
    this.#schedule(waitMs)
  }

  #schedule(waitMs: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    this.#dueAtMs = clock() + waitMs
    this.#timer = setTimeout(() => void this.#refresh(), waitMs)
    this.#timer.unref()
  }

  async #refresh(): Promise<void> {
    const { counters } = this.#options
    this.#isFetching = true
    this.#begunAtMs = clock()
    try {
      const { text, freshForMs } = await this.#downloader.download(await this.#url())
      this.#read(text)
      this.#asOfMs = this.#begunAtMs
      this.#failures = 0
      increment(counters.keyFetches, 'ok')
      this.#schedule(this.#refreshMs(freshForMs))
    } catch (error) {
      if (this.#isClosed) return
      increment(counters.keyFetches, 'failed')
      this.#logFailure(error)
      // The keys may have moved.
      this.#found = undefined
      this.#schedule(Math.min(retryMs.first * 2 ** this.#failures, retryMs.longest))
      this.#failures++
    } finally {
      this.#isFetching = false
    }
    if (this.#isWanted) this.#bringForward(clock())
    this.#isWanted = false
  }

  /** When to fetch again, in milliseconds from now. */
  #refreshMs(freshForMs: number | undefined): number {
    if (freshForMs === undefined) return this.#options.refreshMs ?? refreshMs
    const { leastMs, mostMs } = this.#options.fresh ?? fresh
    return Math.min(Math.max(freshForMs, leastMs), mostMs)
  }

  /**
   * Reads the metadata before every fetch, in case the keys move, unless it says how long it is
   * valid.
   */
  async #url(): Promise<string> {
    const location = this.#location
    if ('url' in location) return location.url
    if (this.#found !== undefined && this.#begunAtMs < this.#found.untilMs) return this.#found.url
    const { url, freshForMs = 0 } = await discoverKeys(location.issuer, location.allowHttp, this.#downloader)
    const { mostMs } = this.#options.fresh ?? fresh
    this.#found = { url, untilMs: this.#begunAtMs + Math.min(freshForMs, mostMs) }
    return url
  }

  #read(text: string): void {
    if (text === this.#lastText) return
    const { set, size, ignored, repeated } = readKeySet(text)
    const { log, name: issuer } = this.#options
    this.#set = set
    this.#lastText = text
    log.info(
      { issuer, keys: size, ...(ignored.length === 0 ? {} : { ignored }) },
      'fetched the keys of the identity provider',
    )
    if (repeated.length > 0)
      log.warn({ issuer, repeated }, 'the identity provider has several keys with one name')
  }

  #logFailure(error: unknown): void {
    const consequence = this.#set === undefined ? 'no token can be verified' : 'the previous ones stay in use'
    const { log, name: issuer } = this.#options
    log.error({ issuer, ...failureOf(error) }, `no keys from the identity provider; ${consequence}`)
  }
}
