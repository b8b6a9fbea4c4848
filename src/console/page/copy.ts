import type { Command } from '../commands.js'
import { announce, byId, make } from './dom.js'

const kinds = [
  ['curl', 'Copy as curl'],
  ['javascript', 'Copy as JavaScript'],
] as const

const saidMs = 2000

/**
 * Fills the place with this id with buttons that copy a command.
 * @param title what the command does, for screen readers
 * @param commandOf called at each press
 */
export function setUpCopy(id: string, title: string, commandOf: () => Command): void {
  const place = byId(id, HTMLDivElement)
  place.setAttribute('role', 'group')
  place.setAttribute('aria-label', title)
  const shown = make('textarea', { readonly: '', rows: '4', 'aria-label': 'The command', hidden: '' })
  for (const [kind, label] of kinds) {
    if (commandOf()[kind] === undefined) continue
    const button = make('button', { type: 'button', class: 'quiet' }, label)
    button.addEventListener('click', async () => {
      const text = commandOf()[kind] ?? ''
      if (await copied(text)) {
        shown.hidden = true
        button.textContent = 'Copied'
        announce('Copied.')
        setTimeout(() => {
          button.textContent = label
        }, saidMs)
        return
      }
      // Pages have no clipboard unless they come by TLS or from this machine.
      shown.value = text
      shown.hidden = false
      shown.focus()
      shown.select()
    })
    place.append(button)
  }
  place.append(shown)
}

async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}
