import { randomBytes } from 'node:crypto'
import { bootKeyId, type TicketKey, ticketKey } from '../ticket/key-ring.js'
import { parseTicketKeys } from '../ticket/key-text.js'
import { requireThat } from './misuse.js'

/**
 * A key that lives in one process; {@link createBootKey} makes it. It cannot be read, logged,
 * stored or copied to another thread, so its tickets die with the memory of those that were spent.
 */
export class BootKey {
  readonly #secret = randomBytes(32)

  /** @internal */
  forNode(node: string): TicketKey {
    return ticketKey(bootKeyId, this.#secret, node)
  }
}

/** A key that an issuer and a verifier share by configuration. */
export interface ConfiguredKey {
  /** 1 to 255: tells the keys of one verifier apart. */
  readonly id: number
  /** 32 bytes or more, random, used for nothing else. */
  readonly secret: Uint8Array
}

/**
 * A configured key may also be text, `ID:BASE64URL`, as `ticketgate key new` prints it; commas
 * separate several.
 */
export type SigningKey = BootKey | ConfiguredKey | string

/**
 * Returns a fresh key for a process that issues and verifies tickets itself. There is nothing to
 * configure and nothing to leak: after a restart no older ticket is valid.
 */
export const createBootKey = (): BootKey => new BootKey()

/**
 * Returns the key or keys of an option, ready to sign for `node`.
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
  requireThat(typeof key === 'object' && key !== null, option, 'a boot key, {id, secret}, or ID:BASE64URL')
  const { id, secret } = key
  requireThat(Number.isInteger(id) && id >= 1 && id <= 255, `${option}.id`, 'a whole number from 1 to 255')
  requireThat(secret instanceof Uint8Array && secret.length >= 32, `${option}.secret`, '32 bytes or more')
  return [ticketKey(id, secret, node)]
}
