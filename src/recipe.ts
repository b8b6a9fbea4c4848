import { demoUser } from './users/demo.js'

export interface RecipeFacts {
  readonly url: string
  readonly adminUrl: string
  /** Of the demo user, when it was made just now. */
  readonly password: string | undefined
  readonly usersFile: string
  /** Where the console is, when it is on. */
  readonly page: string | undefined
}

/** What a developer sees after `npm start`: where it listens, who may log in, and the flow: a page, and three lines of curl. */
export function developmentRecipe({ url, adminUrl, password, usersFile, page }: RecipeFacts): string {
  const user =
    password === undefined
      ? `users in ${usersFile}; passwords are shown only when made. A new one: npx ticketgate user passwd ${demoUser}`
      : `user ${demoUser}, password ${password} (shown only this once; its hash is in ${usersFile})`
  const pwd = password ?? 'PASSWORD'
  const field = (name: string): string => `sed -n 's/.*"${name}":"\\([^"]*\\)".*/\\1/p'`
  return `
ticketgate (development) listens on ${url}, for operators on ${adminUrl}
${user}
${page === undefined ? '' : `\nThe whole flow, to click through: ${page}\n`}
The whole flow, to paste (the 101 in the third line is the open socket; a second time it is 401):

  TOKEN=$(curl -s ${url}/auth -H 'content-type: application/json' -d '{"user":"${demoUser}","pwd":"${pwd}"}' | ${field('token')})
  TICKET=$(curl -s ${url}/ws_ticket -H "authorization: Bearer $TOKEN" | ${field('ticket')})
  curl -i -m 2 -H 'upgrade: websocket' -H 'connection: upgrade' -H 'sec-websocket-version: 13' -H 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==' "${url}/channel/lobby?ticket=$TICKET"

`
}
