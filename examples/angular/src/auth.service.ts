import { HttpClient, HttpErrorResponse } from '@angular/common/http'
import { computed, Injectable, InjectionToken, inject, signal } from '@angular/core'
import { firstValueFrom } from 'rxjs'
import { type Connection, connect, GateError } from 'ticketgate/client'

/** The URL of the gate, without a trailing slash. */
export const GATE_URL = new InjectionToken<string>('GATE_URL')

interface Session {
  readonly user: string
  readonly token: string
}

export interface Ticket {
  readonly ticket: string
  readonly expires: number
  /** The whole URL to open. */
  readonly url: string
}

/** The logged-in user, with tickets and sockets. The token is kept in memory, out of reach of other tabs. */
@Injectable({ providedIn: 'root' })
export class AuthService {
  readonly #http = inject(HttpClient)
  readonly #gate = inject(GATE_URL)
  readonly #session = signal<Session | undefined>(undefined)

  readonly loggedIn = computed(() => this.#session() !== undefined)
  readonly user = computed(() => this.#session()?.user)

  /** @throws Error whose message can be shown */
  async login(user: string, pwd: string): Promise<void> {
    const { token } = await this.#post<{ token: string }>('/auth', { user, pwd })
    this.#session.set({ user, token })
  }

  logout(): void {
    this.#session.set(undefined)
  }

  /** A ticket for one socket, for clients of your own: `new WebSocket((await auth.ticket('lobby')).url)`. */
  ticket(channel: string): Promise<Ticket> {
    const headers = { authorization: `Bearer ${this.#session()?.token ?? ''}` }
    return this.#post<Ticket>('/ws_ticket', { channel }, headers)
  }

  /** A socket that gets its own tickets, reconnects after a restart, and ends with the login. */
  socket<Data>(channel: string): Connection<Data> {
    return connect<Data>({ url: this.#gate, channel, getToken: ({ fresh }) => this.#token(fresh) })
  }

  /** A second token would need the password, so the user has to log in again. */
  #token(fresh: boolean): string {
    const session = this.#session()
    if (session !== undefined && !fresh) return session.token
    this.logout()
    throw new GateError('logged_out', 'Log in again.')
  }

  async #post<Reply>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Reply> {
    try {
      return await firstValueFrom(this.#http.post<Reply>(this.#gate + path, body, { headers }))
    } catch (error) {
      // A refusal by the gate says what to do.
      const detail =
        error instanceof HttpErrorResponse ? (error.error?.detail ?? error.error?.title) : undefined
      throw new Error(detail ?? 'The server cannot be reached.', { cause: error })
    }
  }
}
