import { setUpChat } from './chat.js'
import { byId } from './dom.js'
import { setUpHandshake } from './handshake.js'
import { setUpFigures } from './live.js'
import { setUpLogin } from './login.js'
import { SessionStore } from './session.js'
import { setUpTicket } from './ticket.js'

byId('origin', HTMLElement).textContent = location.host

const sessions = new SessionStore()
setUpLogin(sessions)
setUpTicket(sessions, setUpHandshake().onTicket)
setUpChat(sessions)
setUpFigures(() => void sessions.check())
