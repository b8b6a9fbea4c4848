import { announce, byId } from './dom.js'

/** How long the latest ticket is still valid. */
export class Countdown {
  readonly #text = byId('countdown', HTMLParagraphElement)
  readonly #bar = byId('countdown-bar', HTMLDivElement)
  #ttlSeconds = 0
  #startedMs = 0
  #isOver = true

  /** Counts from the arrival of the ticket, so that this machine's clock does not matter. */
  start(ttlSeconds: number): void {
    const wasOver = this.#isOver
    this.#ttlSeconds = ttlSeconds
    this.#startedMs = performance.now()
    this.#isOver = false
    this.#show('running')
    if (wasOver) this.#tick()
  }

  /** The ticket was accepted. */
  spend(): void {
    this.end('spent', `spent after ${this.#elapsedSeconds.toFixed(1)} s`)
  }

  end(state: 'spent' | 'expired' | 'void', words: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#text.textContent = words
    this.#show(state)
  }

  get #elapsedSeconds(): number {
    return (performance.now() - this.#startedMs) / 1000
  }

  readonly #tick = (): void => {
    if (this.#isOver) return
    const left = this.#ttlSeconds - this.#elapsedSeconds
    this.#bar.style.transform = `scaleX(${Math.max(0, left / this.#ttlSeconds)})`
    if (left <= 0) {
      announce('The ticket has expired.')
      return this.end('expired', 'expired, unused')
    }
    this.#text.textContent = `expires in ${left.toFixed(1)} s`
    requestAnimationFrame(this.#tick)
  }

  #show(state: 'running' | 'spent' | 'expired' | 'void'): void {
    const frame = this.#bar.closest<HTMLElement>('.countdown')
    if (frame !== null) frame.dataset.state = state
  }
}
