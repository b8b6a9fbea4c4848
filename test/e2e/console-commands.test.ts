import { execFile } from 'node:child_process'
import type { Page } from 'playwright-core'
import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { consoleOn, join, logIn, password, say, takeTicket, users } from '../support/console-page.js'
import { fileNeeds } from '../support/programs.js'
import { startServer } from '../support/server.js'

fileNeeds(t, 'chromium', 'curl')

const browser = await openBrowser(t)
const server = await startServer(t, { env: { ...consoleOn, TICKETGATE_TICKET_TTL_SECONDS: '600' }, users })
await browser.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: server.url })

async function copied(page: Page, step: string, kind: 'curl' | 'JavaScript'): Promise<string> {
  const button = page.locator(`#copy-${step} button`, { hasText: new RegExp(`Copied|${kind}`) })
  await page.evaluate(() => navigator.clipboard.writeText(''))
  await page.locator(`#copy-${step} button`, { hasText: `Copy as ${kind}` }).click()
  await button.getByText('Copied').waitFor()
  return (await page.evaluate(() => navigator.clipboard.readText())).replace('PASSWORD', password)
}

/** Returns what a shell prints. Curl exits with an error if the socket stays open. */
const run = (command: string): Promise<string> =>
  new Promise(resolve => execFile('sh', ['-c', command], (_, stdout) => resolve(stdout)))

/** Pastes code into the developer tools. Returns what it logs until it has logged `count` lines. */
async function paste(page: Page, code: string, count: number): Promise<string[]> {
  const logged: string[] = []
  const enough = new Promise<void>(resolve => {
    page.on('console', message => {
      if (message.type() === 'log' && logged.push(message.text()) === count) resolve()
    })
  })
  const tools = await browser.newCDPSession(page)
  const { exceptionDetails } = await tools.send('Runtime.evaluate', {
    expression: code,
    replMode: true,
    awaitPromise: true,
  })
  t.equal(exceptionDetails, undefined, code)
  await enough
  return logged
}

t.test('each step can be copied as curl and pasted into a shell', async t => {
  const { page } = await openPage(browser, server.url)
  t.match(await run(await copied(page, 'login', 'curl')), /^\{"token":"eyJ/)
  t.match(await run(await copied(page, 'take', 'curl')), /token_invalid/, 'refused before the login')
  await logIn(page)
  t.match(await run(await copied(page, 'take', 'curl')), /^\{"ticket":"/)
  t.match(await run(await copied(page, 'connect', 'curl')), /^HTTP\/1.1 101 [\s\S]*"type":"welcome"/)
  t.match(
    await run(await copied(page, 'replay', 'curl')),
    /HTTP\/1.1 101 [\s\S]*HTTP\/1.1 401 [\s\S]*ticket_used/,
  )
  await page.close()
})

t.test('each step can be copied as JavaScript and pasted into the developer tools', async t => {
  const { page } = await openPage(browser, server.url)
  t.match(await paste(page, await copied(page, 'login', 'JavaScript'), 1), [/^eyJ/])
  await logIn(page)
  t.match(await paste(page, await copied(page, 'take', 'JavaScript'), 1), [/^[\w-]{100,}$/])
  t.match(await paste(page, await copied(page, 'connect', 'JavaScript'), 1), [/"type":"welcome"/])
  t.strictSame(await paste(page, await copied(page, 'replay', 'JavaScript'), 2), [
    'first: open',
    'second: refused, close code 1006',
  ])
  t.match(await copied(page, 'chat', 'JavaScript'), /^import \{ connect \} from 'ticketgate\/client'/)
  await page.close()
})

t.test('without a clipboard, the command is shown to be selected', async t => {
  const { page } = await openPage(browser, server.url)
  await page.evaluate(() => {
    navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))
  })
  await page.click('#copy-login button >> nth=0')
  await page.waitForSelector('#copy-login textarea:focus')
  t.match(await page.inputValue('#copy-login textarea'), /^curl -s /)
  await page.close()
})

t.test('the page joins a second channel on the same socket, and shows the frames as sent', async t => {
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await takeTicket(page)
  await page.click('#connect')
  await page.locator('#connect-result .frames', { hasText: '{"type":"welcome","session":' }).waitFor()
  await join(page)
  const { page: other } = await openPage(browser, `${server.url}/#step-chat`)
  await join(other)
  for (const tab of [page, other]) {
    await tab.fill('#second-channel', 'news')
    await tab.click('#also button')
    await tab.locator('#log', { hasText: 'subscribed to news' }).waitFor()
  }
  await other.selectOption('#to', 'news')
  await say(other, 'hello')
  await page.locator('#log p', { hasText: 'maggie in news hello' }).waitFor()
  const frames = await page.locator('#chat-frames li').allTextContents()
  t.match(frames, [
    /^→ handshake GET \/channel\/lobby, Sec-WebSocket-Protocol: ticketgate.v1.json, ticket\.[\w-]{12}…$/,
    '← handshake 101, ticketgate.v1.json',
    /^← text, \d+ bytes \{"type":"welcome"/,
    '→ text, 44 bytes {"type":"subscribe","channel":"news","id":1}',
    '← text, 20 bytes {"type":"ok","id":1}',
    '← text, 75 bytes {"type":"message","channel":"news","data":{"text":"hello"},"user":"maggie"}',
  ])
  await page.click('#also button')
  await page.locator('#log', { hasText: 'unsubscribed from news' }).waitFor()
  t.equal(await page.locator('#to option').count(), 1)
  await other.close()
  await page.close()
})
