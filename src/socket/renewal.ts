import type { SpendRefusal, TicketAdmission } from '../admission/ticket-admission.js'
import type { Clock } from '../clock.js'
import { type RefusalCode, titleOf } from '../errors.js'
import { messageError } from '../protocol.js'
import type { Log } from '../telemetry/log.js'
import { noClaims } from '../ticket/carried-claims.js'
import { isOwnSession, loginSessionOf } from '../ticket/session-id.js'
import type { VerifiedTicket } from '../ticket/verifier.js'
import type { Incoming } from '../wire/encoding.js'
import type { Application } from './application.js'
import type { ChannelRights } from './channel-rights.js'
import type { ChannelTopics } from './channel-topics.js'
import { closeFailed, isOpen } from './closing.js'
import { answer, fail, notify, type RequestId } from './replies.js'
import { addressOf, rightsOf, type Socket } from './session.js'
import type { SocketEvents } from './socket-events.js'
import type { SocketTable } from './socket-table.js'

export interface SessionRenewalParts {
  readonly admission: TicketAdmission
  readonly table: SocketTable
  readonly topics: ChannelTopics
  readonly rights: ChannelRights
  readonly events: SocketEvents
  readonly application: Application | undefined
  readonly clock: Clock
  readonly log: Log
}

/**
 * Renews an open socket with a fresh ticket: with its rights, claims, login session and expiry. The
 * ticket is checked as in a handshake, and spent. A refused ticket changes nothing.
 */
export class SessionRenewal {
  readonly #parts: SessionRenewalParts

  constructor(parts: SessionRenewalParts) {
    this.#parts = parts
  }

  renew(ws: Socket, { ticket: text, id }: Incoming, nowMs: number): void {
    const { admission, application, clock, log } = this.#parts
    const { channel, origin, user } = ws.getUserData().session
    if (typeof text !== 'string' || text === '') return refuse(ws, 'ticket_missing', id)
    const ticket = admission.check(text, { channel, origin, address: () => addressOf(ws) }, nowMs)
    if (typeof ticket === 'string') return refuse(ws, ticket, id)
    const { claims } = ticket
    if (claims.user !== user)
      return fail(ws, messageError.userMismatch, 'The ticket is for another user.', id)
    const request = {
      user,
      session: loginSessionOf(claims.session),
      channel,
      origin,
      expires: claims.sessionEndsAtSeconds,
      claims: claims.carried ?? noClaims,
    }
    const data = application?.authorize(request)
    // The application may have closed this socket, to keep one for each user.
    if (!isOpen(ws)) return
    if (data === false) return refuse(ws, 'channel_forbidden', id)

    const finish = (refused: SpendRefusal): void =>
      refused === undefined ? this.#accept(ws, ticket, id) : refuse(ws, refused, id)
    const spent = admission.spend(ticket, nowMs)
    if (!(spent instanceof Promise)) return finish(spent)
    spent
      .then(late => {
        if (isOpen(ws)) finish(late ?? admission.recheck(ticket, channel, clock()))
      })
      .catch(error => closeFailed(ws, error, log))
  }

  #accept(ws: Socket, { claims, authorizedAtSeconds }: VerifiedTicket, id: RequestId): void {
    const { session } = ws.getUserData()
    const login = loginSessionOf(claims.session)
    const isFormer = login === undefined && !isOwnSession(session.id)
    if (isFormer || session.isFormer) session.isFormer = isFormer
    session.id = login ?? session.id
    session.rights = rightsOf(claims)
    if (session.carried !== claims.carried) session.carried = claims.carried
    session.issuedAtSeconds = authorizedAtSeconds
    const { table, topics, rights, events } = this.#parts
    table.renew(ws, claims.sessionEndsAtSeconds)
    rights.begin(ws)
    for (const channel of topics.restrict(ws, each => rights.maySubscribe(ws, each))) {
      events.unsubscribed(ws, channel)
      if (isOpen(ws)) notify(ws, { type: 'unsubscribed', channel }, undefined)
    }
    // One that reads too slowly is closed by the messages before.
    if (isOpen(ws)) answer(ws, { type: 'renewed', expires: session.expiresAtSeconds }, id)
  }
}

const refuse = (ws: Socket, code: RefusalCode, id: RequestId): void => fail(ws, code, titleOf(code), id)
