import { Component, effect, inject, signal } from '@angular/core'
import type { Connection } from 'ticketgate/client'
import { AuthService } from './auth.service'

@Component({
  selector: 'app-root',
  template: `
    @if (auth.loggedIn()) {
      <p>{{ auth.user() }}: {{ state() }} <button type="button" (click)="auth.logout()">Log out</button></p>
      <form (submit)="say($event, text)">
        <label>Message <input #text required autocomplete="off" /></label>
        <button>Send</button>
      </form>
      <ul>
        @for (line of lines(); track $index) {
          <li>{{ line }}</li>
        }
      </ul>
    } @else {
      <form (submit)="login($event, user.value, pwd.value)">
        <label>User <input #user value="maggie" required autocomplete="username" /></label>
        <label>Password <input #pwd type="password" required autocomplete="current-password" /></label>
        <button>Log in</button>
      </form>
    }
    <p role="status">{{ problem() }}</p>
  `,
})
export class AppComponent {
  readonly auth = inject(AuthService)
  readonly state = signal('')
  readonly lines = signal<readonly string[]>([])
  readonly problem = signal('')
  #socket: Connection<string> | undefined

  constructor() {
    // The socket lives as long as the login.
    effect(onCleanup => {
      if (!this.auth.loggedIn()) return
      const socket = this.auth.socket<string>('lobby')
      this.#socket = socket
      socket.on('state', state => this.state.set(state))
      socket.on('message', ({ user, data }) => this.#show(`${user ?? 'server'}: ${data}`))
      socket.on('close', error => this.#closed(error.code))
      onCleanup(() => void socket.close())
    })
  }

  async login(event: Event, user: string, pwd: string): Promise<void> {
    event.preventDefault()
    this.problem.set('')
    await this.auth.login(user, pwd).catch((error: Error) => this.problem.set(error.message))
  }

  async say(event: Event, input: HTMLInputElement): Promise<void> {
    event.preventDefault()
    const text = input.value
    try {
      await this.#socket?.publish(text)
      this.#show(`you: ${text}`)
      input.value = ''
    } catch (error) {
      this.problem.set((error as Error).message)
    }
  }

  #show(line: string): void {
    this.lines.update(lines => [...lines.slice(-99), line])
  }

  /** Closed for good: by logging out, or by the gate. */
  #closed(code: string): void {
    this.lines.set([])
    if (code === 'closed') return
    this.problem.set(`The connection has ended: ${code}`)
    this.auth.logout()
  }
}
