import { isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Config } from './schema.js'

/** What is allowed and may not be what was meant, for the log at the start: one line each, with what to do. */
export function warningsOf({ bind, host }: Pick<Config, 'bind' | 'host'>): string[] {
  const warnings: string[] = []
  // The wildcard of IPv6 takes IPv4 as well.
  if (bind.includes('address') && isIPv6(host) && ipaddr.parse(host).range() === 'unspecified')
    warnings.push(
      'TICKETGATE_BIND=address: a browser may take a ticket over IPv6 and open the socket over IPv4, or the other way round, and is refused then: give the name of this server addresses of one family, or leave address out',
    )
  return warnings
}
