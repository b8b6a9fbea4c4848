import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { consoleOn, hears, join, logIn, say, takeTicket, users } from '../support/console-page.js'
import { freePort } from '../support/free-port.js'
import { fileNeeds } from '../support/programs.js'
import { adminKey, startServer } from '../support/server.js'

fileNeeds(t, 'chromium')

const browser = await openBrowser(t)

t.test('an expired ticket is refused', async t => {
  const server = await startServer(t, { env: { ...consoleOn, TICKETGATE_TICKET_TTL_SECONDS: '1' }, users })
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await takeTicket(page)
  await page.locator('#countdown', { hasText: 'expired, unused' }).waitFor()
  await page.click('#connect')
  await page.waitForSelector('#connect-result [data-state=refused]')
  t.match(await page.textContent('#connect-result'), /POST \/ws_ticket\/status: expired[\s\S]*ticket_expired/)
  await page.waitForSelector('#connect-result button:focus')
  await page.keyboard.press('Enter')
  await page.locator('#countdown', { hasText: 'expires in' }).waitFor()
  t.equal(await page.textContent('#connect-result'), '', 'a new ticket clears the result')
  await page.locator('#codes tr', { hasText: 'ticket_expired' }).waitFor()
  await page.close()
})

t.test('after a restart the page says what happened, and what to do', async t => {
  const env = {
    ...consoleOn,
    TICKETGATE_PORT: String(await freePort()),
    TICKETGATE_TICKET_TTL_SECONDS: '600',
  }
  const first = await startServer(t, { env, users })
  const { page } = await openPage(browser, first.url)
  await logIn(page)
  await takeTicket(page)
  // Wait until the figures include it.
  await page.waitForResponse(
    async reply => reply.url().endsWith('/figures') && (await reply.json()).ticketsIssued > 0,
  )
  await first.stop()
  await page.locator('#notice:visible', { hasText: 'The server does not reply.' }).waitFor()
  await startServer(t, { env, stateDir: first.stateDir })
  await page
    .locator('#notice', { hasText: /has restarted\. Earlier tickets are void.*still valid/ })
    .waitFor()
  t.match(await page.textContent('#countdown'), /^void/)
  await page.click('#connect')
  await page.locator('#connect-result', { hasText: 'ticket_invalid' }).waitFor()
  await page.click('#notice-button')
  await page.locator('#countdown', { hasText: 'expires in' }).waitFor()
  t.notOk(await page.isVisible('#notice'))
  await page.click('#connect')
  await page.locator('#connect-result', { hasText: '101 Switching Protocols' }).waitFor()
  await page.close()
})

t.test('the chat reconnects after a restart of the server', async t => {
  const env = { ...consoleOn, TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env, users })
  const { page } = await openPage(browser, first.url)
  await logIn(page)
  await join(page)
  const { page: other } = await openPage(browser, `${first.url}/#step-chat`)
  await join(other)
  await first.stop()
  await page.locator('#log', { hasText: 'draining: again in' }).waitFor()
  await page.waitForSelector('#pulse[data-state=down]', { state: 'attached' })
  await startServer(t, { env, stateDir: first.stateDir })
  for (const tab of [page, other]) {
    await tab.bringToFront()
    await tab.waitForSelector('#chat-state[data-state=open]')
  }
  await say(other, 'still here')
  await hears(page, 'still here')
  t.match(await page.textContent('#log'), /draining: again in \d/, 'it says why it was disconnected')
  await other.close()
  await page.close()
})

t.test('an expired session ends the chat, and the page says what to do', async t => {
  const server = await startServer(t, { env: { ...consoleOn, TICKETGATE_TOKEN_TTL_SECONDS: '20' }, users })
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await join(page)
  await page.waitForSelector('#chat-state[data-state=refused]')
  t.equal(await page.textContent('#chat-state'), 'signed_out')
  t.match(await page.textContent('#log'), /Log in again/)
  await logIn(page)
  await join(page)
  await page.close()
})

t.test('the page shows the code with which a ticket was refused', async t => {
  const server = await startServer(t, {
    env: {
      ...consoleOn,
      TICKETGATE_TICKET_TTL_SECONDS: '600',
      TICKETGATE_MAX_CONNECTIONS_PER_USER: '1',
    },
    users,
  })
  const { page } = await openPage(browser, server.url)
  const asAdmin = (path: string, body: object): Promise<Response> =>
    fetch(server.admin + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const isRefused = async (status: string): Promise<void> => {
    await page.click('#connect')
    await page.locator('#connect-result .wire', { hasText: status }).waitFor()
    t.match(await page.textContent('#connect-result'), /close code 1006/, status)
  }
  await logIn(page)

  await join(page)
  await takeTicket(page)
  await isRefused('live, refused: too_many_connections')
  const { page: other } = await openPage(browser, `${server.url}/#step-chat`)
  await other.click('#join:not([aria-disabled=true])')
  await other.locator('#log', { hasText: 'too_many_connections: again in' }).waitFor()
  await page.bringToFront()
  await page.click('#join')
  await page.waitForSelector('#chat-state[data-state=closed]')
  await other.waitForSelector('#chat-state[data-state=open]')
  await other.click('#join')
  await other.waitForSelector('#chat-state[data-state=closed]')
  await other.close()
  // Wait until the server knows that it has left.
  await page.waitForSelector('svg[aria-label^="Connections: now 0 open"]')
  await page.click('#connect')
  await page.locator('#connect-result', { hasText: '101 Switching Protocols' }).waitFor()

  // A valid ticket, but bound to another origin.
  const issued = await asAdmin('/tickets', {
    user: 'lisa',
    sessionSeconds: 600,
    channel: 'lobby',
    origin: 'https://elsewhere.example',
  })
  const foreign = await issued.text()
  await page.route('**/ws_ticket?*', route =>
    route.fulfill({ body: foreign, contentType: 'application/json' }),
  )
  await takeTicket(page)
  await isRefused('live, refused: origin_forbidden')
  await page.unroute('**/ws_ticket?*')
  await page.route('**/ws_ticket', route => route.fulfill({ body: foreign, contentType: 'application/json' }))
  await page.click('#join')
  await page.locator('#log', { hasText: 'closed for good: origin_forbidden' }).waitFor()
  await page.unroute('**/ws_ticket')

  await takeTicket(page)
  await asAdmin('/disconnect', { user: 'maggie', channel: 'lobby' })
  await isRefused('invalid, refused: channel_forbidden')
  await page.fill('#channel', 'news')
  await takeTicket(page)
  await asAdmin('/disconnect', { user: 'maggie' })
  await isRefused('invalid, refused: token_revoked')
  await page.close()
})
