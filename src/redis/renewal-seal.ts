import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Config } from '../config/schema.js'
import { readSecretFile } from '../config/secret-file.js'
import { ticketKeyEntries } from '../config/ticket-keys.js'
import { watchFiles } from '../disk/watch-file.js'
import type { Log } from '../telemetry/log.js'
import type { SealedRenewal, SessionRenewed } from '../wire/relay.js'

// Nodes that share so many keys share the first ones.
const maxKeys = 8

// What a renewal may take from node to node, besides what their clocks differ.
const maxTransitSeconds = 10

const label = 'ticketgate.renewal.v1'

type Secrets = Pick<
  Config,
  | 'ticketKeys'
  | 'ticketKeysFile'
  | 'jwtSecret'
  | 'jwtSecretGiven'
  | 'jwtSecretFile'
  | 'jwtSecretPrevious'
  | 'jwtSecretPreviousFile'
  | 'clockSkewSeconds'
  | 'redisUrl'
>

/** What is under the MAC. */
interface Sealed {
  readonly sentAtSeconds: number
  readonly renewed: SessionRenewed
}

/**
 * Seals renewals on their way to other nodes with what these know as well: the ticket keys, and the
 * token secret with its predecessor. Their files are reread when they change and on SIGHUP. Gates
 * that share none cannot renew for each other.
 */
export class RenewalSeal {
  #keys: readonly Buffer[]
  readonly #maxAgeSeconds: number
  readonly #end: () => void

  constructor(config: Secrets, log: Log) {
    const { redisUrl, jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile } = config
    const files = [jwtSecretFile, jwtSecretPreviousFile, ticketKeysFile].filter(file => file !== undefined)
    this.#keys = keysOf(config)
    this.#maxAgeSeconds = maxTransitSeconds + config.clockSkewSeconds
    this.#end =
      redisUrl === undefined || files.length === 0
        ? () => {}
        : watchFiles(files, () => {
            try {
              this.#keys = keysOf({ ...config, ...rereadSecrets(config) })
            } catch (error) {
              log.error({ err: error }, 'the keys of renewals for other nodes stay those of before')
            }
          })
  }

  close(): void {
    this.#end()
  }

  /** Returns undefined if there is no key that other nodes could know. */
  seal(renewed: SessionRenewed, nowSeconds: number): SealedRenewal | undefined {
    if (this.#keys.length === 0) return undefined
    const text = JSON.stringify({ sentAtSeconds: nowSeconds, renewed } satisfies Sealed)
    return { type: 'renew', text, macs: this.#keys.map(key => macOf(key, text)) }
  }

  /** Returns undefined unless a node that knows one of the keys has sealed it just now. */
  open({ text, macs }: SealedRenewal, nowSeconds: number): SessionRenewed | undefined {
    const given = macs.slice(0, maxKeys)
    const isOurs = this.#keys.some(key => {
      const mac = macOf(key, text)
      return given.some(each => each.length === mac.length && timingSafeEqual(each, mac))
    })
    if (!isOurs) return undefined
    const { sentAtSeconds, renewed } = JSON.parse(text) as Sealed
    return Math.abs(nowSeconds - sentAtSeconds) > this.#maxAgeSeconds ? undefined : renewed
  }
}

const macOf = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

const keysOf = (config: Secrets): Buffer[] =>
  secretsOf(config)
    .slice(0, maxKeys)
    .map(secret => createHmac('sha256', secret).update(label).digest())

/** The secrets that are in files, as they are now. */
const rereadSecrets = ({ jwtSecretFile, jwtSecretPreviousFile }: Secrets): Partial<Secrets> => ({
  ...(jwtSecretFile === undefined ? {} : { jwtSecret: readSecretFile(jwtSecretFile) }),
  ...(jwtSecretPreviousFile === undefined
    ? {}
    : { jwtSecretPrevious: readSecretFile(jwtSecretPreviousFile) }),
})

function secretsOf(config: Secrets): readonly string[] {
  if (config.redisUrl === undefined) return []
  const { jwtSecret, jwtSecretGiven, jwtSecretPrevious } = config
  return [
    ...(jwtSecretGiven ? [jwtSecret] : []),
    ...(jwtSecretPrevious === undefined ? [] : [jwtSecretPrevious]),
    ...ticketKeyEntries(config),
  ]
}
