import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { gateUrl, getToken, logIn } from './login.js'
import { useGate } from './use-gate.js'

function Login({ onLogin }) {
  const [problem, setProblem] = useState('')
  const submit = async form => {
    try {
      await logIn(form.get('user'), form.get('pwd'))
      onLogin()
    } catch (error) {
      setProblem(error.message)
    }
  }
  return (
    <form action={submit}>
      <label>
        User <input name="user" defaultValue="maggie" required autoComplete="username" />
      </label>
      <label>
        Password <input name="pwd" type="password" required autoComplete="current-password" />
      </label>
      <button type="submit">Log in</button>
      <p role="status">{problem}</p>
    </form>
  )
}

function Chat({ onLogout }) {
  const { state, messages, error, publish } = useGate({ url: gateUrl, channel: 'lobby', getToken })
  const [problem, setProblem] = useState('')
  const send = form => publish(form.get('text')).catch(error => setProblem(error.message))
  return (
    <>
      <p>
        lobby: {state}{' '}
        <button type="button" onClick={onLogout}>
          Log out
        </button>
      </p>
      <form action={send}>
        <label>
          Message <input name="text" required autoComplete="off" />
        </label>
        <button type="submit">Send</button>
      </form>
      <ul>
        {messages.map(({ user = 'server', data }, index) => (
          <li key={index}>
            {user}: {String(data)}
          </li>
        ))}
      </ul>
      <p role="status">{error === undefined ? problem : `The connection has ended: ${error.code}`}</p>
    </>
  )
}

function App() {
  const [loggedIn, setLoggedIn] = useState(false)
  return loggedIn ? <Chat onLogout={() => setLoggedIn(false)} /> : <Login onLogin={() => setLoggedIn(true)} />
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
