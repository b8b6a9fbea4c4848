import { connect } from 'ticketgate/client'
import { onScopeDispose, ref, shallowRef } from 'vue'

const kept = 100

/** A connection to a channel, closed with the component or the scope that called this. */
export function useGate({ url, channel, getToken }) {
  const state = ref('connecting')
  const messages = shallowRef([])
  const error = shallowRef()

  const gate = connect({ url, channel, getToken })
  gate.on('state', value => {
    state.value = value
  })
  gate.on('message', message => {
    messages.value = [...messages.value.slice(1 - kept), message]
  })
  gate.on('close', reason => {
    if (reason.code !== 'closed') error.value = reason
  })
  onScopeDispose(() => void gate.close())

  return { state, messages, error, publish: data => gate.publish(data) }
}
