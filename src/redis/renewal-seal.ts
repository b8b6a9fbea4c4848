import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Config } from '../config/schema.js'
import { ticketKeyEntries } from '../config/ticket-keys.js'
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
  | 'jwtSecretPrevious'
  | 'clockSkewSeconds'
  | 'redisUrl'
>

/** What is under the MAC. */
interface Sealed {
  readonly sentAtSeconds: number
  readonly renewed: SessionRenewed
}

/**
 * Seals renewals on their way to other nodes with what these know as well: the ticket keys and the
 * token secrets, as they were at the start. Gates that share none cannot renew for each other.
 */
export class RenewalSeal {
  readonly #keys: readonly Buffer[]
  readonly #maxAgeSeconds: number

  constructor(config: Secrets) {
    this.#keys = secretsOf(config)
      .slice(0, maxKeys)
      .map(secret => createHmac('sha256', secret).update(label).digest())
    this.#maxAgeSeconds = maxTransitSeconds + config.clockSkewSeconds
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

function secretsOf(config: Secrets): readonly string[] {
  if (config.redisUrl === undefined) return []
  const { jwtSecret, jwtSecretGiven, jwtSecretPrevious } = config
  return [
    ...(jwtSecretGiven ? [jwtSecret] : []),
    ...(jwtSecretPrevious === undefined ? [] : [jwtSecretPrevious]),
    ...ticketKeyEntries(config),
  ]
}
