import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { bearer, postJson } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { adminKey, development, startServer } from '../support/server.js'
import { serveDirectory } from '../support/static-server.js'

fileNeeds(t, 'chromium')

const password = 'correct horse battery'

t.test('the plain page logs in, chats, and closes when its user is disconnected', async t => {
  const server = await startServer(t, {
    env: { ...development, TICKETGATE_ADMIN_KEY: adminKey },
    users: { maggie: password },
  })
  const url = `${await serveDirectory(t, fileURLToPath(new URL('../../examples/page', import.meta.url)))}/?gate=${server.url}`
  const browser = await openBrowser(t)
  const { page } = await openPage(browser, url)
  const says = (text: string) => page.waitForFunction(text => document.body.innerText.includes(text), text)
  await page.fill('#pwd', 'wrong')
  await page.click('#login button')
  await says('bad_credentials')
  await page.fill('#pwd', password)
  await page.click('#login button')
  await says('maggie in lobby')

  await postJson(server.admin, '/publish', { channel: 'lobby', data: 'hello' }, { headers: bearer(adminKey) })
  await says('server: hello')
  const { page: other } = await openPage(browser, url)
  await other.fill('#pwd', password)
  await other.click('#login button')
  await other.waitForFunction(() => document.body.innerText.includes('maggie in lobby'))
  await other.fill('#text', 'good morning')
  await other.click('#say button')
  await says('maggie: good morning')

  await postJson(server.admin, '/disconnect', { user: 'maggie' }, { headers: bearer(adminKey) })
  await says('closed: 4403')
})
