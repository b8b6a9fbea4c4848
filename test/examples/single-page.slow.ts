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

for (const name of ['react', 'vue'])
  t.test(
    `${name} logs in, receives and publishes messages, and closes its socket with the component`,
    async t => {
      const directory = exampleDirectory(name)
      runIn(directory, 'npm', 'run', 'build')
      const server = await startServer(t, {
        env: { ...development, TICKETGATE_ADMIN_KEY: adminKey },
        users: { maggie: password },
      })
      const url = `${await serveDirectory(t, join(directory, 'public/build'))}/?gate=${server.url}`
      const browser = await openBrowser(t)
      const open = async () => {
        const { page } = await openPage(browser, url)
        const says = (text: string) => page.locator('#root', { hasText: text }).waitFor()
        const logIn = async (pwd: string): Promise<void> => {
          await page.fill('[name=pwd]', pwd)
          await page.click('button:text("Log in")')
        }
        return { page, says, logIn }
      }
      const [one, other] = [await open(), await open()]
      await one.logIn('wrong')
      await one.page.waitForSelector('[role=status]:not(:empty)')
      for (const { logIn, says } of [one, other]) {
        await logIn(password)
        await says('lobby: open')
      }
      await other.page.fill('[name=text]', 'good morning')
      await other.page.click('button:text("Send")')
      await one.says('maggie: good morning')

      await one.page.click('button:text("Log out")')
      await one.page.waitForSelector('[name=pwd]')
      await one.logIn(password)
      await one.says('lobby: open')
      await postJson(server.admin, '/disconnect', { user: 'maggie' }, { headers: bearer(adminKey) })
      for (const { says } of [one, other]) await says('The connection has ended: revoked')
    },
  )
