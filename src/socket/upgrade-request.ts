import type { RequestHead } from '../http/request.js'

/** The fields of a request by which it asks to become a WebSocket (RFC 6455 section 4.2.1). */
export type UpgradeFields = Pick<RequestHead, 'upgrade' | 'connection' | 'webSocketVersion' | 'webSocketKey'>

const asksToUpgrade = /(?:^|[, \t])upgrade(?:$|[, \t])/i

// 16 bytes in base64: the last digit before the padding has four bits that count.
const keyForm = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/**
 * What is wrong with a handshake, undefined if nothing is. `upgrade_required`: it is a plain
 * request, perhaps since a proxy does not pass `Upgrade` on, or of another version.
 * `bad_request`: the key is missing or malformed.
 */
export function upgradeFault(fields: UpgradeFields): 'upgrade_required' | 'bad_request' | undefined {
  const { upgrade, connection, webSocketVersion, webSocketKey } = fields
  if (webSocketVersion !== '13') return 'upgrade_required'
  if (upgrade !== 'websocket' && upgrade.toLowerCase() !== 'websocket') return 'upgrade_required'
  // A proxy takes a request without it for a plain one, and what follows for more of them.
  if (connection !== 'Upgrade' && !asksToUpgrade.test(connection)) return 'upgrade_required'
  return keyForm.test(webSocketKey) ? undefined : 'bad_request'
}
