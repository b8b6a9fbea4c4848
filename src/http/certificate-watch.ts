import type { TemplatedApp } from 'uWebSockets.js'
import { X509Certificate } from 'node:crypto'
import { certificateFault } from '../config/certificate.js'
import { readFile } from '../config/value-types.js'
import { type FileStates, watchFiles } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import { createTlsApp, type TlsFiles } from './tls.js'

export interface CertificateWatchOptions {
  readonly files: TlsFiles
  /** How the files were before the first app read them, by `lookAt`. */
  readonly since: FileStates
  readonly log: Log
  /** Called with an app that serves the current certificate. */
  readonly renew: (app: TemplatedApp) => void
}

/** A certificate and its key, as read. */
interface Pair {
  readonly chain: Buffer
  readonly key: Buffer
}

/**
 * Rereads the certificate and its key when their files change and on SIGHUP. A broken file, or two
 * that do not match, changes nothing and is logged: the previous one stays in use.
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
    this.#end = watchFiles([certFile, keyFile], () => this.#reload(), options.since)
  }

  /** When the served certificate expires, Unix seconds. */
  get expiresAtSeconds(): number {
    return this.#expiresAtSeconds
  }

  close(): void {
    this.#end()
  }

  #read(): Pair {
    const { certFile, keyFile } = this.#options.files
    return { chain: readFile(certFile), key: readFile(keyFile) }
  }

  #reload(): void {
    const { files, log, renew } = this.#options
    try {
      const pair = this.#read()
      const isNew = !pair.chain.equals(this.#served.chain) || !pair.key.equals(this.#served.key)
      if (isNew) {
        const fault = certificateFault(pair.chain, pair.key)
        if (fault !== undefined) throw new Error(fault)
        // It reads the files by itself. Where they have changed since, the next look at them will
        // tell.
        renew(createTlsApp(files))
        this.#served = pair
        this.#expiresAtSeconds = expiryOf(pair.chain)
      }
      const expires = new Date(this.#expiresAtSeconds * 1000).toISOString()
      log.info({ isNew, expires }, 'TLS certificate reloaded')
    } catch (error) {
      log.error(
        { err: error, ...files },
        'the TLS certificate or its key is broken: the previous one stays in use',
      )
    }
  }
}

const expiryOf = (chain: Buffer): number => Date.parse(new X509Certificate(chain).validTo) / 1000
