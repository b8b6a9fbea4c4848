import { announce, byId } from './dom.js'

/** The next step that a notice offers. */
interface NextStep {
  readonly label: string
  readonly go: () => void
}

/** The bar at the top of the page: what happened to the server, and what to do next. */
export class Notice {
  readonly #bar = byId('notice', HTMLDivElement)
  readonly #text = byId('notice-text', HTMLParagraphElement)
  readonly #button = byId('notice-button', HTMLButtonElement)
  #next: NextStep | undefined

  constructor() {
    this.#button.addEventListener('click', () => {
      const next = this.#next
      this.hide()
      next?.go()
    })
  }

  show(words: string, next?: NextStep): void {
    this.#text.textContent = words
    this.#next = next
    this.#button.hidden = next === undefined
    this.#button.textContent = next?.label ?? ''
    this.#bar.hidden = false
    announce(words)
  }

  hide(): void {
    this.#bar.hidden = true
  }
}
