/** The element with an id, which is in page.html. */
export function byId<Kind extends Element>(id: string, kind: new () => Kind): Kind {
  const element = document.getElementById(id)
  if (element instanceof kind) return element
  throw new Error(`page.html has no such ${kind.name}: ${id}`)
}

type Child = Node | string

/** Makes an element. All text enters as text, never as HTML. */
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
  for (const [label, value] of lines) list.append(make('dt', {}, label), make('dd', {}, value))
  return list
}

export const status = (text: string): Element => make('span', { class: 'status' }, text)

type StepName = 'login' | 'ticket' | 'connect' | 'replay' | 'chat'

export function setStep(step: StepName, state: 'locked' | 'open' | 'done'): void {
  byId(`step-${step}`, HTMLLIElement).dataset.state = state
}

/** The button that a form is sent with. */
export function submitOf(form: HTMLFormElement): HTMLButtonElement {
  const button = form.querySelector('button')
  if (button === null) throw new Error('this form has no button')
  return button
}
