/** The requests of the page, to paste into a shell, or into a program or the developer tools. */

import { routes, ticketParameter } from '../protocol.js'

export interface Command {
  /** Undefined for what curl cannot do. */
  readonly curl?: string
  readonly javascript: string
}

/** The server that the page talks to, and with which token and channel. */
export interface PageContext {
  /** Of the page, such as `http://127.0.0.1:8080`. */
  readonly origin: string
  /** Undefined before the login. */
  readonly token: string | undefined
  readonly channel: string
}

export function loginCommand(origin: string, user: string): Command {
  const url = origin + routes.auth
  return {
    curl: `curl -s ${url} -H 'content-type: application/json' -d ${shell(JSON.stringify({ user, pwd: 'PASSWORD' }))}`,
    javascript: `const reply = await fetch(${script(url)}, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ user: ${script(user)}, pwd: 'PASSWORD' }),
})
const { token } = await reply.json()
console.log(token)`,
  }
}

export const ticketCommand = (page: PageContext): Command => ({
  curl: takeByCurl(page),
  javascript: `${takeByScript(page)}
console.log(ticket)`,
})

/** With a ticket of its own: that of the page is spent, or too old by the time it is pasted. */
export const connectCommand = (page: PageContext): Command => ({
  curl: `${ticketInShell(page)}
${openByCurl(page)}`,
  javascript: `${takeByScript(page)}
${openByScript(page, 'socket')}
socket.onmessage = ({ data }) => console.log(data)
socket.onclose = ({ code, reason }) => console.log(\`closed: \${code} \${reason}\`)`,
})

export const replayCommand = (page: PageContext): Command => ({
  curl: `${ticketInShell(page)}
${openByCurl(page)}
${openByCurl(page)}`,
  javascript: `${takeByScript(page)}
${openByScript(page, 'first')}
first.onmessage = () => {
  console.log('first: open')
  ${openByScript(page, 'second')}
  second.onclose = ({ code }) => console.log(\`second: refused, close code \${code}\`)
}`,
})

export const chatCommand = ({ origin, token, channel }: PageContext): Command => ({
  javascript: `import { connect } from ${script('ticketgate/client')}

const gate = connect({
  url: ${script(origin)},
  channel: ${script(channel)},
  getToken: () => ${script(token ?? 'TOKEN')},
})
gate.on('message', ({ channel, data, user }) => console.log(channel, user, data))
gate.on('close', ({ code, message }) => console.log(\`closed for good: \${code}. \${message}\`))
await gate.opened()
await gate.publish({ text: 'hello' })`,
})

/** What a back end asks of the admin listener. Without an admin key the header does no harm. */
export const publishCommand = (adminUrl: string, channel: string, data: unknown): Command =>
  adminCommand(adminUrl + routes.publish, { channel, data })

export const disconnectCommand = (
  adminUrl: string,
  subject: { readonly user: string } | { readonly session: string },
): Command => adminCommand(adminUrl + routes.disconnect, subject)

const adminCommand = (url: string, body: object): Command => ({
  curl: `curl -s ${url} -H 'authorization: Bearer ADMIN_KEY' -H 'content-type: application/json' -d ${shell(JSON.stringify(body))}`,
  javascript: `const reply = await fetch(${script(url)}, {
  method: 'POST',
  headers: { authorization: 'Bearer ADMIN_KEY', 'content-type': 'application/json' },
  body: ${script(JSON.stringify(body))},
})
console.log(await reply.text())`,
})

const ticketUrl = ({ origin, channel }: PageContext): string =>
  `${origin}${routes.ticket}?channel=${encodeURIComponent(channel)}`

const takeByCurl = (page: PageContext): string =>
  `curl -s -X POST ${shell(ticketUrl(page))} -H ${shell(`authorization: Bearer ${page.token ?? 'TOKEN'}`)}`

const takeByScript = (page: PageContext): string => `const reply = await fetch(${script(ticketUrl(page))}, {
  method: 'POST',
  headers: { authorization: ${script(`Bearer ${page.token ?? 'TOKEN'}`)} },
})
const { ticket } = await reply.json()`

const ticketInShell = (page: PageContext): string =>
  `TICKET=$(${takeByCurl(page)} | sed -n 's/.*"ticket":"\\([^"]*\\)".*/\\1/p')`

// RFC 6455 section 1.3 has this key. Curl reads on until it is told to stop.
const upgrade = [
  'upgrade: websocket',
  'connection: upgrade',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
]

const openByCurl = ({ origin, channel }: PageContext): string =>
  `curl -i -m 2 ${upgrade.map(field => `-H '${field}'`).join(' ')} "${origin}${routes.channel}${channel}?${ticketParameter}=$TICKET"`

const openByScript = ({ origin, channel }: PageContext, name: string): string =>
  `const ${name} = new WebSocket(\`${origin.replace(/^http/, 'ws')}${routes.channel}${channel}?${ticketParameter}=\${ticket}\`)`

/** A text in single quotes, for a POSIX shell. */
const shell = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/** A text in single quotes, for JavaScript. */
const script = (text: string): string =>
  `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
