/** The element of page.html with this id. */
export function byId<Kind extends Element>(id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id)
  if (element instanceof kind) return element
  throw new Error(`page.html has no such ${kind.name}: ${id}`)
}

type Child = Node | string

/** Creates an element. Text is inserted as text, never as HTML. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

export type WireLine = readonly [label: string, value: Child]

/** What went over the wire, line by line. */
export function wire(lines: readonly WireLine[], isRefused = false): Element {
  const list = make('dl', { class: 'wire', ...(isRefused ? { 'data-state': 'refused' } : {}) })
  for (const [label, value] of lines) list.append(make('dt', {}, ...labelOf(label)), make('dd', {}, value))
  return list
}

const arrows: Readonly<Record<string, string>> = { '→': 'sent', '←': 'received' }

/** Screen readers get words in place of the arrows. */
function labelOf(label: string): Child[] {
  const words = arrows[label]
  if (words === undefined) return [label]
  return [make('span', { 'aria-hidden': 'true' }, label), make('span', { class: 'visually-hidden' }, words)]
}

export const status = (text: string): Element => make('span', { class: 'status' }, text)

type StepName = 'login' | 'ticket' | 'connect' | 'replay' | 'chat' | 'server'

export function setStep(step: StepName, state: 'locked' | 'open' | 'done'): void {
  byId(`step-${step}`, HTMLLIElement).dataset.state = state
}

/**
 * Sets whether a button can be used. If not, it stays in the tab order and keeps the focus: a
 * button that is `disabled` while it works would send keyboard users back to the top of the page.
 */
export function setUsable(button: HTMLButtonElement, isUsable: boolean): void {
  button.setAttribute('aria-disabled', String(!isUsable))
}

const isUsable = (button: HTMLButtonElement): boolean => button.getAttribute('aria-disabled') !== 'true'

interface Press {
  readonly act: () => Promise<void>
  /** Whether it can be pressed again. Default: yes. */
  readonly isReady?: () => boolean
}

/** Runs `act` when a usable button is pressed. The button is unusable meanwhile. */
export function onPress(button: HTMLButtonElement, press: Press): void {
  button.addEventListener('click', () => void run(button, press))
}

/** The same for the button of a form. */
export function onSubmit(form: HTMLFormElement, press: Press): void {
  const button = submitOf(form)
  form.addEventListener('submit', event => {
    event.preventDefault()
    void run(button, press)
  })
}

async function run(button: HTMLButtonElement, { act, isReady = () => true }: Press): Promise<void> {
  if (!isUsable(button)) return
  setUsable(button, false)
  try {
    await act()
  } finally {
    setUsable(button, isReady())
  }
}

/** Moves the focus to the next step, unless it has left the finished one. */
export function moveOn(from: HTMLElement, to: HTMLElement): void {
  if (from.contains(document.activeElement)) to.focus()
}

/**
 * Announces something to screen readers. The results themselves are not live regions, because
 * tokens and tickets would be spelled out.
 */
export function announce(words: string): void {
  byId('announcer', HTMLParagraphElement).textContent = words
}

/** The submit button of a form. */
export function submitOf(form: HTMLFormElement): HTMLButtonElement {
  const button = form.querySelector('button')
  if (button === null) throw new Error('this form has no button')
  return button
}
