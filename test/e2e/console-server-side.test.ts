import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { join, logIn, users } from '../support/console-page.js'
import { bearer, jsonOf, postJson, request } from '../support/http.js'
import { isProblem } from '../support/problem.js'
import { fileNeeds } from '../support/programs.js'
import { development, startServer } from '../support/server.js'
import { tokenFor } from '../support/tokens.js'

fileNeeds(t, 'chromium')

const browser = await openBrowser(t)

for (const [mode, env] of [
  ['one thread', {}],
  ['two threads', { TICKETGATE_THREADS: '2' }],
] as const)
  t.test(`the page can publish and disconnect as the server, with ${mode}`, async t => {
    const server = await startServer(t, { env: { ...development, ...env }, users })
    const { page, errors } = await openPage(browser, server.url)
    await logIn(page)
    await join(page)
    await page.click('#server-publish button')
    await page.locator('#log p', { hasText: 'the server hello from the server' }).waitFor()
    await page.click('#server-disconnect')
    await page.waitForSelector('#chat-state[data-state=refused]')
    t.equal(await page.textContent('#chat-state'), 'revoked')
    await page
      .locator('#notice', { hasText: 'Your token is no longer accepted: 401 token_revoked' })
      .waitFor()
    t.equal(await page.getAttribute('#server-disconnect', 'aria-disabled'), 'true')
    await page.click('#notice-button')
    await page.waitForSelector('#password:focus')
    await logIn(page)
    await join(page)
    const unexpected = errors.filter(text => !/Failed to load resource.*401/.test(text))
    t.strictSame(unexpected, [])
    await page.close()
  })

t.test('the copied commands do the same on the admin listener', async t => {
  const server = await startServer(t, { env: development, users })
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await page.evaluate(() => {
    navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))
  })
  const commandIn = async (id: string): Promise<string> => {
    await page.click(`#${id} button >> nth=0`)
    await page.waitForSelector(`#${id} textarea:focus`)
    return page.inputValue(`#${id} textarea`)
  }
  const body = (command: string): object => JSON.parse(/-d '(.*)'$/.exec(command)?.[1] ?? '')
  const publish = await commandIn('copy-publish')
  t.match(publish, /^curl -s http:\/\/127\.0\.0\.1:\d+\/publish /)
  const disconnect = await commandIn('copy-disconnect')
  t.match(disconnect, /\/disconnect /)
  for (const [path, command] of [
    ['/publish', publish],
    ['/disconnect', disconnect],
  ] as const)
    t.equal((await postJson(server.admin, path, body(command))).status, 200, path)
  await page.click('#take button')
  await page.locator('#take-result', { hasText: 'token_revoked' }).waitFor()
  await page.close()
})

t.test('these routes need a token, and are absent in production', async t => {
  const server = await startServer(t, { env: development, users })
  const { token } = jsonOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: users.maggie }))
  const publish = (body: object, headers: Record<string, string> = bearer(String(token))) =>
    request(server.url, '/console/publish', {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  t.equal((await publish({ channel: 'lobby', data: 1 })).status, 200)
  isProblem(t, await publish({ channel: 'lobby' }, {}), '401 token_missing')
  isProblem(t, await publish({ channel: 'lobby' }, bearer(tokenFor('maggie'))), '401 token_invalid')
  isProblem(t, await publish({ channel: 'no name' }), '400 channel_invalid')
  isProblem(t, await publish({ channel: 'lobby', user: 'lisa' }), '400 bad_request')
  isProblem(t, await request(server.url, '/console/disconnect', { method: 'POST' }), '401 token_missing')

  const production = await startServer(t, { env: { TICKETGATE_CONSOLE: 'on' } })
  for (const path of ['/console/publish', '/console/disconnect']) {
    const reply = await request(production.url, path, { method: 'POST', headers: bearer(tokenFor('maggie')) })
    isProblem(t, reply, '404 not_found', path)
  }
  const { page } = await openPage(browser, production.url)
  t.equal(await page.locator('#step-server').count(), 0)
  await page.close()
})

t.test('the page links to documents that exist', async t => {
  const server = await startServer(t, { env: development })
  const { page } = await openPage(browser, server.url)
  const links = await page.locator('#docs a').all()
  t.ok(links.length > 5)
  for (const link of links) {
    const { status, headers, text } = await request(server.url, (await link.getAttribute('href')) ?? '')
    t.equal(status, 200)
    t.equal(headers['content-type'], 'text/plain; charset=utf-8')
    t.match(text, /^# \w/)
  }
  const opened = browser.waitForEvent('page')
  await links[0]?.click()
  const document = await opened
  await document.waitForLoadState()
  t.match(await document.innerText('body'), /^# Getting started/)
  await document.close()
  await page.close()
})
