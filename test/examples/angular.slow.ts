import { join } from 'node:path'
import t from 'tap'
import '../support/built.js'
import { openBrowser, openPage } from '../support/browser.js'
import { exampleDirectory, runIn } from '../support/example.js'
import { bearer, postJson } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { adminKey, development, startServer } from '../support/server.js'
import { serveDirectory } from '../support/static-server.js'

fileNeeds(t, 'chromium')

const password = 'correct horse battery'
const directory = exampleDirectory('angular')

t.test('the Angular compiler reports no errors', async () => {
  runIn(directory, 'npm', 'run', 'check')
})

t.test(
  'its AuthService logs in, gets tickets, opens sockets, and notices that its user is disconnected',
  async t => {
    runIn(directory, 'npm', 'run', 'build')
    const server = await startServer(t, {
      env: { ...development, TICKETGATE_ADMIN_KEY: adminKey },
      users: { maggie: password },
    })
    const { page, errors } = await openPage(
      await openBrowser(t),
      `${await serveDirectory(t, join(directory, 'public'))}/?gate=${server.url}`,
    )
    const says = (text: string) => page.locator('app-root', { hasText: text }).waitFor()
    const logIn = async (pwd: string): Promise<void> => {
      await page.fill('input[type=password]', pwd)
      await page.click('button:text("Log in")')
    }
    await logIn('wrong')
    await page.waitForSelector('[role=status]:not(:empty)')
    await logIn(password)
    await says('maggie: open')

    const publish = (data: string) =>
      postJson(server.admin, '/publish', { channel: 'lobby', data }, { headers: bearer(adminKey) })
    await publish('hello')
    await says('server: hello')
    await page.fill('input', 'good morning')
    await page.click('button:text("Send")')
    await says('you: good morning')

    await page.click('button:text("Log out")')
    await page.waitForSelector('input[type=password]')
    await logIn(password)
    await says('maggie: open')
    await postJson(server.admin, '/disconnect', { user: 'maggie' }, { headers: bearer(adminKey) })
    await says('The connection has ended: revoked')
    await page.waitForSelector('input[type=password]')
    t.strictSame(
      errors.filter(text => !text.includes('401')),
      [],
      'the browser console shows no error but the wrong password',
    )
  },
)
