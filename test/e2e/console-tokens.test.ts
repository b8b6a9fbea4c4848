import type { Page } from 'playwright-core'
import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { consoleOn, join, logIn, takeTicket, usable, users } from '../support/console-page.js'
import { freePort } from '../support/free-port.js'
import { keysFetched } from '../support/nodes.js'
import { fileNeeds } from '../support/programs.js'
import { jwks, newKey, signedBy, startProvider } from '../support/provider.js'
import { adminKey, development, startServer } from '../support/server.js'

fileNeeds(t, 'chromium')

const browser = await openBrowser(t)
const step = (page: Page, name: string, state: string) =>
  page.waitForSelector(`#step-${name}[data-state=${state}]`)

t.test('with an identity provider, the walkthrough starts with a pasted token', async t => {
  const key = newKey('ES256', 'first')
  const provider = await startProvider(t, jwks(key))
  const server = await startServer(t, {
    env: {
      ...development,
      TICKETGATE_JWKS_URL: provider.url,
      TICKETGATE_DEFAULT_PUBLISH: '*',
      TICKETGATE_DEFAULT_SUBSCRIBE: '*',
    },
  })
  await keysFetched(server)
  const { page } = await openPage(browser, server.url)
  const asked: string[] = []
  page.on('request', request => asked.push(new URL(request.url()).pathname))
  t.equal(
    await page.locator(`.step ${usable}:not(.quiet)`).count(),
    1,
    'at first, the only step is to paste a token',
  )
  t.equal(await page.locator('#password, #user').count(), 0, 'there is no login')
  t.match(await page.innerText('#step-login'), /^Bring a token[\s\S]*identity provider/)

  const paste = async (text: string, result: string): Promise<void> => {
    await page.fill('#token', text)
    await page.click('#paste button')
    await page.locator('#login-result', { hasText: result }).waitFor()
  }
  await paste('my password', 'This is not a JWT')
  await paste(signedBy(newKey('ES256', 'first')), '401 token_invalid')
  t.equal(await page.locator(`#take ${usable}`).count(), 0)
  // As copied from a header, with line breaks.
  await paste(`Bearer ${signedBy(key).replace('.', '.\n')}\n`, '200')
  t.match(await page.textContent('#login-result'), /"alg": "ES256"[\s\S]*"sub": "maggie"/)
  t.equal(await page.inputValue('#token'), '', 'the field is cleared')
  await takeTicket(page)
  await page.click('#connect')
  await page.locator('#connect-result', { hasText: '101 Switching Protocols' }).waitFor()
  await join(page)
  t.notOk(asked.includes('/auth'))
  await page.close()
})

t.test('after a restart with another secret, an older token is not shown as valid', async t => {
  const env = { ...development, TICKETGATE_PORT: String(await freePort()) }
  const first = await startServer(t, { env, users })
  const { page } = await openPage(browser, first.url)
  await logIn(page)
  const { page: other } = await openPage(browser, first.url)
  await other.waitForSelector('#login-result .parts')
  await first.stop()
  const rotated = { ...env, TICKETGATE_JWT_SECRET: 'another secret, of more than 32 bytes' }
  const second = await startServer(t, { env: rotated, stateDir: first.stateDir })
  for (const tab of [page, other]) {
    await tab.bringToFront()
    await step(tab, 'login', 'open')
    await step(tab, 'ticket', 'locked')
    await step(tab, 'chat', 'locked')
    t.match(await tab.textContent('#login-result'), /401 token_invalid/)
    t.equal(await tab.locator('#login-result .parts').count(), 0, 'the token is removed')
    t.equal(await tab.locator(`#take ${usable}, #join:not([aria-disabled=true])`).count(), 0)
  }
  await page.bringToFront()
  await page.locator('#notice', { hasText: /Your token is no longer accepted: 401 token_invalid/ }).waitFor()
  await page.click('#notice-button')
  await page.waitForSelector('#password:focus')
  const { page: third } = await openPage(browser, second.url)
  t.equal(await third.textContent('#login-result'), '', 'a new tab does not get the token from the others')
  await page.bringToFront()
  await logIn(page)
  await step(page, 'ticket', 'open')
  for (const tab of [other, third]) {
    await step(tab, 'login', 'done')
    await tab.close()
  }
  await takeTicket(page)
  await page.close()
})

t.test('an expired token is not shown as valid', async t => {
  const server = await startServer(t, { env: { ...consoleOn, TICKETGATE_TOKEN_TTL_SECONDS: '5' }, users })
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await step(page, 'login', 'open')
  t.match(await page.textContent('#login-result'), /401 token_expired/)
  t.equal(await page.locator(`#take ${usable}`).count(), 0)
  await page.close()
})

t.test('a refused token is not shown as valid', async t => {
  const server = await startServer(t, { env: consoleOn, users })
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  const { status } = await fetch(`${server.admin}/disconnect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
    body: '{"user":"maggie"}',
  })
  t.equal(status, 200)
  await page.click('#take button')
  await step(page, 'login', 'open')
  t.match(await page.textContent('#take-result'), /401 token_revoked/)
  t.match(await page.textContent('#login-result'), /401 token_revoked/)
  await page.close()
})
