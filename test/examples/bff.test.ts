import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { bearer, postJson } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { adminKey, development, startServer } from '../support/server.js'

fileNeeds(t, 'chromium')

const password = 'correct horse battery'

t.test('a back end keeps the token, the page gets tickets, and a logout closes the socket', async t => {
  const gate = await startServer(t, {
    env: { ...development, TICKETGATE_ADMIN_KEY: adminKey },
    users: { maggie: password },
  })
  const program = fileURLToPath(new URL('../../examples/bff/server.js', import.meta.url))
  const child = spawn(process.execPath, [program], {
    env: {
      PATH: process.env.PATH,
      PORT: '0',
      GATE: gate.url,
      GATE_ADMIN: gate.admin,
      TICKETGATE_ADMIN_KEY: adminKey,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string]
  for (const path of ['/ticket', '/login'])
    t.equal((await postJson(url, path, { user: 'maggie', pwd: 'wrong' })).status, 401, path)

  const { page } = await openPage(await openBrowser(t), url)
  const says = (text: string) => page.locator('body', { hasText: text }).waitFor()
  const replies: string[] = []
  page.on('response', async response => replies.push(await response.text().catch(() => '')))
  await page.fill('#pwd', password)
  await page.click('button[type=submit]')
  await says('maggie is connected')
  await postJson(gate.admin, '/publish', { channel: 'lobby', data: 'hello' }, { headers: bearer(adminKey) })
  await says('hello')
  await page.click('#logout')
  await says('logged out: 4403')
  t.ok(replies.some(text => text.includes('"ticket"')))
  t.notMatch(replies.join('\n'), /eyJ/, 'the browser has received no token')
  t.equal(await page.evaluate(() => document.cookie), '', 'scripts cannot read the cookie')
})
