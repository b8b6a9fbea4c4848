import { useCallback, useEffect, useRef, useState } from 'react'
import { connect } from 'ticketgate/client'

const kept = 100

/**
 * A connection to a channel for as long as the component is there.
 *
 * `getToken` has to stay the same from render to render (a function of a module, or `useCallback`): another one opens
 * another connection.
 */
export function useGate({ url, channel, getToken }) {
  const [state, setState] = useState('connecting')
  const [messages, setMessages] = useState([])
  const [error, setError] = useState()
  const connection = useRef()

  useEffect(() => {
    const gate = connect({ url, channel, getToken })
    connection.current = gate
    setMessages([])
    setError(undefined)
    gate.on('state', setState)
    gate.on('message', message => setMessages(messages => [...messages.slice(1 - kept), message]))
    gate.on('close', error => error.code !== 'closed' && setError(error))
    return () => void gate.close()
  }, [url, channel, getToken])

  const publish = useCallback(data => connection.current.publish(data), [])
  return { state, messages, error, publish }
}
