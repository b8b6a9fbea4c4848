import { Injectable } from '@nestjs/common'

export interface Login {
  readonly user: string
  /** The id under which the gate knows this session. It never sees the cookie. */
  readonly session: string
  /** When the session ends, in Unix seconds. */
  readonly expires: number
}

export interface Ticket {
  readonly ticket: string
  readonly expires: number
  readonly url: string
}

/** Asks the gate, on its admin listener. */
@Injectable()
export class GateService {
  readonly #admin = process.env.GATE_ADMIN ?? 'http://127.0.0.1:8081'
  /** In development the gate has none. */
  readonly #key = process.env.TICKETGATE_ADMIN_KEY

  issueTicket(login: Login, channel: string): Promise<Ticket> {
    return this.#post<Ticket>('/tickets', { ...login, channel })
  }

  /** Closes the sockets of a session, and revokes the tickets that are not spent yet. */
  async endSession(session: string): Promise<void> {
    await this.#post('/disconnect', { session })
  }

  async #post<Reply>(path: string, body: unknown): Promise<Reply> {
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (this.#key !== undefined) headers.authorization = `Bearer ${this.#key}`
    const reply = await fetch(this.#admin + path, { method: 'POST', headers, body: JSON.stringify(body) })
    if (!reply.ok) throw new Error(`the gate: ${reply.status} ${await reply.text()}`)
    return (await reply.json()) as Reply
  }
}
