import { GateError } from './gate-error.js'
import { HandshakeError, type Link, type LinkOptions, openLink } from './link.js'
import { remedyOf } from './refusals.js'
import type { TicketApi } from './tickets.js'

/**
 * Opens a link, once.
 * @throws GateError that says why it did not open, as far as a page can learn it
 */
export async function attempt(options: LinkOptions, api: TicketApi): Promise<Link> {
  try {
    return await openLink(options)
  } catch (error) {
    // The platform may refuse to create the socket, for example for an http server in an https
    // page.
    if (!(error instanceof GateError)) throw new GateError('socket_unavailable', String(error))
    const code =
      error instanceof HandshakeError && error.isRefusal ? await api.refusalOf(options.ticket) : undefined
    if (code === undefined) throw error
    throw new GateError(code, `The server did not accept the ticket: ${code}.`, remedyOf(code))
  }
}
