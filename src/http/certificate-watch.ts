import type { TemplatedApp } from 'uWebSockets.js'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { certificateFault } from '../config/certificate.js'
import { watchFiles } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import { createTlsApp, type TlsFiles } from './tls.js'

export interface CertificateWatchOptions {
  readonly files: TlsFiles
  readonly log: Log
  /** Given the app that serves the certificate as it is now. */
  readonly renew: (app: TemplatedApp) => void
}

/** A certificate and its key, as they were read. */
interface Pair {
  readonly chain: Buffer
  readonly key: Buffer
}

/**
 * Reads the certificate and its key again when their files change and on SIGHUP. A broken file, or two that do not
 * belong together, changes nothing and is logged: the one before stays.
 */
export class CertificateWatch {
  readonly #options: CertificateWatchOptions
  readonly #end: () => void
  #served: Pair
  #expiresAtSeconds: number

  constructor(options: CertificateWatchOptions) {
    const { certFile, keyFile } = options.files
    this.#options = options
    this.#served = this.#read()
    this.#expiresAtSeconds = expiryOf(this.#served.chain)
    this.#end = watchFiles([certFile, keyFile], () => this.#reload())
  }

  /** When the certificate that is served expires, Unix seconds. */
  get expiresAtSeconds(): number {
    return this.#expiresAtSeconds
  }

  close(): void {
    this.#end()
  }

  #read(): Pair {
    const { certFile, keyFile } = this.#options.files
    return { chain: readFileSync(certFile), key: readFileSync(keyFile) }
  }

  #reload(): void {
    const { files, log, renew } = this.#options
    try {
      const pair = this.#read()
      const isNew = !pair.chain.equals(this.#served.chain) || !pair.key.equals(this.#served.key)
      if (isNew) {
        const fault = certificateFault(pair.chain, pair.key)
        if (fault !== undefined) throw new Error(fault)
        // It reads the files by itself. Where they have changed since, the next look at them will tell.
        renew(createTlsApp(files))
        this.#served = pair
        this.#expiresAtSeconds = expiryOf(pair.chain)
      }
      const expires = new Date(this.#expiresAtSeconds * 1000).toISOString()
      log.info({ isNew, expires }, 'TLS certificate read again')
    } catch (error) {
      log.error({ err: error, ...files }, 'the TLS certificate or its key is broken; the one before stays')
    }
  }
}

const expiryOf = (chain: Buffer): number => Date.parse(new X509Certificate(chain).validTo) / 1000
