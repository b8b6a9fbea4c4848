import type { RequestHead } from '../http/request.js'

/** The fields with which a request asks to become a WebSocket (RFC 6455 section 4.2.1). */
export type UpgradeFields = Pick<RequestHead, 'upgrade' | 'connection' | 'webSocketVersion' | 'webSocketKey'>

const asksToUpgrade = /(?:^|[, \t])upgrade(?:$|[, \t])/i

// 16 bytes in base64: the last digit before the padding has four significant bits.
const keyForm = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/**
 * Why a handshake is invalid, undefined if it is not. `upgrade_required`: it is a plain request,
 * perhaps because a proxy does not forward `Upgrade`, or has another version. `bad_request`: the
 * key is missing or malformed.
 */
export function upgradeFault(fields: UpgradeFields): 'upgrade_required' | 'bad_request' | undefined {
  const { upgrade, connection, webSocketVersion, webSocketKey } = fields
  if (webSocketVersion !== '13') return 'upgrade_required'
  if (upgrade !== 'websocket' && upgrade.toLowerCase() !== 'websocket') return 'upgrade_required'
  // Without it, a proxy reads the request as a plain one, and what follows as further requests.
  if (connection !== 'Upgrade' && !asksToUpgrade.test(connection)) return 'upgrade_required'
  return keyForm.test(webSocketKey) ? undefined : 'bad_request'
}
