import { connect } from 'ticketgate-client'

/** Opens two connections, publishes on one, and returns the user and data that the other receives. */
export async function chat(url, token, more) {
  const open = () => connect({ url, channel: 'lobby', getToken: () => token, ...more })
  const [speaker, listener] = [open(), open()]
  await listener.opened()
  const heard = listener.messages()
  await speaker.opened()
  await speaker.publish('hello')
  const { value } = await heard.next()
  await Promise.all([speaker.close(), listener.close()])
  return `${value.user} said ${value.data}`
}
