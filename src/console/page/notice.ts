import { announce, byId } from './dom.js'

/** The next step that a notice offers. */
interface WayOn {
  readonly label: string
  readonly go: () => void
}

/** The bar at the top of the page: what happened to the server, and what to do next. */
export class Notice {
  readonly #bar = byId('notice', HTMLDivElement)
  readonly #text = byId('notice-text', HTMLParagraphElement)
  readonly #button = byId('notice-button', HTMLButtonElement)
  #wayOn: WayOn | undefined

  constructor() {
    this.#button.addEventListener('click', () => {
      const wayOn = this.#wayOn
      this.hide()
      wayOn?.go()
    })
  }

  show(words: string, wayOn?: WayOn): void {
    this.#text.textContent = words
    this.#wayOn = wayOn
    this.#button.hidden = wayOn === undefined
    this.#button.textContent = wayOn?.label ?? ''
    this.#bar.hidden = false
    announce(words)
  }

  hide(): void {
    this.#bar.hidden = true
  }
}
