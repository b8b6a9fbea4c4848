import {
  chatCommand,
  connectCommand,
  loginCommand,
  type PageContext,
  replayCommand,
  ticketCommand,
} from '../commands.js'
import { setUpChat } from './chat.js'
import { setUpCopy } from './copy.js'
import { byId } from './dom.js'
import { HandshakeSteps } from './handshake.js'
import { setUpFigures } from './live.js'
import { setUpLogin } from './login.js'
import { Notice } from './notice.js'
import { setUpServerSide } from './server-side.js'
import { SessionStore } from './session.js'
import { TicketStep } from './ticket.js'

byId('origin', HTMLElement).textContent = location.host

const sessions = new SessionStore()
setUpLogin(sessions)
const handshake = new HandshakeSteps()
const tickets = new TicketStep(sessions, ticket => handshake.start(ticket))
handshake.onAnother = () => tickets.takeAnother()
setUpChat(sessions)
setUpServerSide(sessions)

const { origin } = location
const pageContext = (): PageContext => ({
  origin,
  token: sessions.current?.token,
  channel: byId('channel', HTMLInputElement).value,
})
if (document.body.dataset.login === 'password')
  setUpCopy('copy-login', 'Log in', () => loginCommand(origin, byId('user', HTMLInputElement).value))
setUpCopy('copy-take', 'Take a ticket', () => ticketCommand(pageContext()))
setUpCopy('copy-connect', 'Open the WebSocket', () => connectCommand(pageContext()))
setUpCopy('copy-replay', 'Present the same ticket again', () => replayCommand(pageContext()))
setUpCopy('copy-chat', 'Chat', () => chatCommand(pageContext()))

const notice = new Notice()
const backToLogin = {
  label: 'Back to step 1',
  go: () => document.querySelector<HTMLElement>('#password, #token')?.focus(),
}
/** Why the last session ended; undefined while there is one. */
let ended: string | undefined

sessions.onChange((session, reason) => {
  ended = session === undefined ? reason : undefined
  if (ended === undefined) notice.hide()
  else notice.show(`Your token is no longer accepted: ${ended}`, backToLogin)
})

/** Says what a restart means, and offers the next step. */
async function onBack(hasRestarted: boolean): Promise<void> {
  const what = hasRestarted ? 'The server has restarted' : 'The server replies again'
  if (hasRestarted) tickets.void()
  await sessions.check()
  if (ended !== undefined) notice.show(`${what}. Your token is no longer accepted: ${ended}`, backToLogin)
  else if (hasRestarted && sessions.current !== undefined)
    notice.show(
      `${what}. Earlier tickets are void, because the key that signed them is gone. Your token is still valid.`,
      { label: 'Take a new ticket', go: () => tickets.takeAnother() },
    )
  else notice.show(`${what}.`, { label: 'Close', go: () => {} })
}

setUpFigures({
  onDown: () => notice.show('The server does not reply. This page tries again every second.'),
  onBack: hasRestarted => void onBack(hasRestarted),
  onReturn: () => void sessions.check(),
})
