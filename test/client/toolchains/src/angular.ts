import { Component, signal } from '@angular/core'
import { bootstrapApplication } from '@angular/platform-browser'
import { type Connection, connect } from 'ticketgate-client'

const given = new URLSearchParams(location.hash.slice(1))
const open = (): Connection<string> =>
  connect<string>({ url: given.get('url') ?? '', channel: 'lobby', getToken: () => given.get('token') ?? '' })

@Component({ selector: 'app-root', template: '{{ heard() }}' })
class AppComponent {
  readonly heard = signal('')

  constructor() {
    void this.#chat()
  }

  async #chat(): Promise<void> {
    const [speaker, listener] = [open(), open()]
    await listener.opened()
    const messages = listener.messages()
    await speaker.opened()
    await speaker.publish('hello')
    const { value } = await messages.next()
    this.heard.set(`${value.user} said ${value.data}`)
  }
}

await bootstrapApplication(AppComponent)
