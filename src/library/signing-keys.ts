import { randomBytes } from 'node:crypto'
import { bootKeyId, type TicketKey, ticketKey } from '../ticket/key-ring.js'
import { parseTicketKeys } from '../ticket/key-text.js'
import { demand } from './misuse.js'

/**
 * A key that lives in one process: {@link createBootKey} makes it. It can be neither read, logged, copied to another
 * thread nor stored, so its tickets die with the memory of those that were spent.
 */
export class BootKey {
  readonly #secret = randomBytes(32)

  /** @internal */
  forNode(node: string): TicketKey {
    return ticketKey(bootKeyId, this.#secret, node)
  }
}

/** A key that issuer and verifier share, from the configuration of both. */
export interface ConfiguredKey {
  /** 1 to 255: tells the keys of one verifier apart. */
  readonly id: number
  /** 32 bytes or more, random, used for nothing else. */
  readonly secret: Uint8Array
}

/** A configured key may also be text, `ID:BASE64URL`, as `ticketgate key new` prints it; several with commas between. */
export type SigningKey = BootKey | ConfiguredKey | string

/**
 * A fresh key for one process that issues tickets and verifies them itself. There is nothing to configure and nothing
 * to leak: after a restart no older ticket is good.
 */
export const createBootKey = (): BootKey => new BootKey()

/**
 * The key or keys that an option means, ready to sign for `node`.
 * @throws TypeError that names the option, never a secret
 */
export function readSigningKey(key: SigningKey, node: string, option: string): TicketKey[] {
  if (key instanceof BootKey) return [key.forNode(node)]
  if (typeof key === 'string') {
    try {
      return parseTicketKeys(key, { node, notSecret: '' })
    } catch (error) {
      throw new TypeError(`${option}: ${error instanceof Error ? error.message : 'unreadable'}`)
    }
  }
  demand(typeof key === 'object' && key !== null, option, 'a boot key, {id, secret}, or ID:BASE64URL')
  const { id, secret } = key
  demand(Number.isInteger(id) && id >= 1 && id <= 255, `${option}.id`, 'a whole number from 1 to 255')
  demand(secret instanceof Uint8Array && secret.length >= 32, `${option}.secret`, '32 bytes or more')
  return [ticketKey(id, secret, node)]
}
