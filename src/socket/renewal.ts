import type { Admission } from '../admission/ticket-check.js'
import type { Clock } from '../clock.js'
import { type RefusalCode, titleOf } from '../errors.js'
import { messageError } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { maySubscribe } from '../ticket/rights.js'
import type { VerifiedTicket } from '../ticket/verifier.js'
import type { Incoming } from '../wire/encoding.js'
import type { Embedding } from './application.js'
import { endFailed, isOpen, type SocketTable } from './lifecycle.js'
import { answer, fail } from './replies.js'
import { addressOf, rightsOf, type Socket } from './session.js'

export interface RenewalParts {
  readonly admission: Admission
  readonly table: SocketTable
  readonly embedding: Embedding | undefined
  readonly clock: Clock
  readonly log: Log
}

/**
 * Takes a fresh ticket on an open socket, and with it the rights, the login session and the end of the session that
 * the ticket names. It is checked as at the gate and spent like any; one that is refused changes nothing.
 */
export function createRenewal({ admission, table, embedding, clock, log }: RenewalParts) {
  return (ws: Socket, { ticket: text, id }: Incoming, nowMs: number): void => {
    const session = ws.getUserData().session
    const refuse = (code: Parameters<typeof titleOf>[0]): void => fail(ws, code, titleOf(code), id)

    if (typeof text !== 'string' || text === '') return refuse('ticket_missing')
    const ticket = admission.check(
      text,
      { channel: session.channel, origin: session.origin, address: () => addressOf(ws) },
      nowMs,
    )
    if (typeof ticket === 'string') return refuse(ticket)
    const { claims } = ticket
    if (claims.user !== session.user)
      return fail(ws, messageError.userMismatch, 'The ticket is that of another user.', id)
    const request = {
      user: claims.user,
      session: claims.session,
      channel: session.channel,
      origin: session.origin,
      expires: claims.sessionEndsAtSeconds,
    }
    if (embedding?.authorize(request) === false) return refuse('channel_forbidden')

    const finish = (refusal: RefusalCode | undefined): void =>
      refusal === undefined ? renew(ws, ticket, id) : refuse(refusal)
    const refused = admission.spend(ticket, nowMs)
    if (!(refused instanceof Promise)) return finish(refused)
    refused
      .then(late => {
        if (isOpen(ws)) finish(late ?? admission.recheck(ticket, clock()))
      })
      .catch(error => endFailed(ws, error, log))
  }

  function renew(ws: Socket, ticket: VerifiedTicket, id: unknown): void {
    const { session } = ws.getUserData()
    const { claims } = ticket
    session.id = claims.session ?? session.id
    session.rights = rightsOf(claims)
    session.issuedAtSeconds = ticket.authorizedAtSeconds
    table.renew(ws, claims.sessionEndsAtSeconds)
    // A topic is a channel name behind one letter for the encoding.
    for (const topic of ws.getTopics())
      if (!maySubscribe(session.rights, topic.slice(1))) ws.unsubscribe(topic)
    answer(ws, { type: 'renewed', expires: session.expiresAtSeconds }, id)
  }
}
