import { isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Config } from './schema.js'

/**
 * Returns warnings for the log at the start about settings that are allowed but may not be
 * intended: one line each, with advice.
 */
export function warningsOf({ bind, host }: Pick<Config, 'bind' | 'host'>): string[] {
  const warnings: string[] = []
  // The IPv6 wildcard accepts IPv4 too.
  if (bind.includes('address') && isIPv6(host) && ipaddr.parse(host).range() === 'unspecified')
    warnings.push(
      'TICKETGATE_BIND=address: a browser may get its ticket over IPv6 and open the socket over IPv4, or the reverse, and is then refused: give the name of this server addresses of one family, or leave address out',
    )
  return warnings
}
