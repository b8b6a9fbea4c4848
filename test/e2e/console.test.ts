import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { keepScreenshot, openBrowser, openPage } from '../support/browser.js'
import {
  consoleOn,
  hears,
  join,
  logIn,
  password,
  say,
  takeTicket,
  usable,
  users,
} from '../support/console-page.js'
import { fileNeeds } from '../support/programs.js'
import { startServer } from '../support/server.js'

fileNeeds(t, 'chromium')

const browser = await openBrowser(t)
const server = await startServer(t, { env: { ...consoleOn, TICKETGATE_TICKET_TTL_SECONDS: '600' }, users })

/** Errors that Chromium itself logs for refusals; the page cannot prevent them. */
const expectedErrors =
  /^Failed to load resource: the server responded with a status of 401|^WebSocket connection to .* failed: HTTP Authentication failed; no valid credentials available$/

/** Checks that the page fits wide and narrow windows in both colour schemes, and keeps screenshots. */
async function fitsEverySize(t: Test, page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    for (const [name, width] of [
      ['wide', 1280],
      ['narrow', 390],
    ] as const) {
      await page.setViewportSize({ width, height: 900 })
      await page.evaluate(() => scrollTo(0, 0))
      await keepScreenshot(page, `console-${name}-${colorScheme}`)
      const overflow = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      )
      t.equal(overflow, 0, `${name}, ${colorScheme}: the page does not scroll sideways`)
    }
  }
}

t.test('the whole walkthrough works', async t => {
  const { page, errors } = await openPage(browser, server.url)
  t.equal(
    await page.locator(`.step ${usable}:not(.quiet)`).count(),
    1,
    'at first, the only step is to log in',
  )

  await page.fill('#password', 'wrong')
  await page.click('#login button')
  await page.waitForSelector('#login-result [data-state=refused]')
  t.match(await page.textContent('#login-result'), /401 bad_credentials/)

  await logIn(page)
  t.match(
    await page.textContent('#login-result'),
    /"alg": "HS256"[\s\S]*"sub": "maggie"/,
    'the decoded token is shown',
  )
  t.equal(await page.inputValue('#password'), '', 'the password field is cleared')

  await takeTicket(page)
  t.strictSame(await page.locator('#layout tbody th').allTextContents(), [
    'version',
    'key id',
    'issuedAt',
    'ttl',
    'nonce',
    'claims',
    'MAC',
  ])
  t.match(await page.textContent('#layout'), /u user: "maggie"[\s\S]*c channel: "lobby"/)
  const left = await page.textContent('#countdown')
  t.match(left, /^expires in \d+\.\d s$/)
  await page.waitForFunction(words => document.getElementById('countdown')?.textContent !== words, left)

  await page.click('#connect')
  await page.waitForSelector('#connect-result .wire')
  t.match(await page.textContent('#connect-result'), /101 Switching Protocols[\s\S]*"type":"welcome"/)
  t.match(await page.textContent('#countdown'), /^spent after/)

  await page.click('#replay')
  await page.waitForSelector('#replay-result [data-state=refused]')
  t.match(await page.textContent('#replay-result'), /refused before the handshake[\s\S]*close code 1006/)
  t.match(await page.textContent('#replay-result'), /POST \/ws_ticket\/status: used[\s\S]*ticket_used/)
  await page.locator('#codes tr', { hasText: 'ticket_used' }).waitFor()
  t.match(await page.textContent('#codes'), /bad_credentials/)
  t.match(await page.getAttribute('#figures svg >> nth=0', 'aria-label'), /^Connections: now 1 open, at most/)
  t.equal(await page.textContent('#cache-size'), '1')

  await join(page)
  const other = await openPage(browser, `${server.url}/#step-chat`)
  await join(other.page)
  await say(other.page, 'hello from the second tab')
  await hears(page, 'hello from the second tab')
  await say(page, 'and hello back <b>as text</b>')
  await hears(other.page, 'and hello back <b>as text</b>')

  await page.bringToFront()
  await fitsEverySize(t, page)
  await page.click('#join')
  await page.waitForSelector('#chat-state[data-state=closed]')

  const unexpected = [...errors, ...other.errors].filter(text => !expectedErrors.test(text))
  t.strictSame(unexpected, [], 'there are no errors and no policy violations')
  await other.page.close()
  await page.close()
})

t.test('the content security policy blocks injected code', async t => {
  const { page, errors } = await openPage(browser, server.url)
  const ran = await page.evaluate(() => {
    const script = document.createElement('script')
    script.textContent = 'window.injected = true'
    document.body.append(script)
    return 'injected' in window
  })
  t.equal(ran, false)
  t.match(errors.join('\n'), /Content Security Policy/, 'policy violations are reported')
  await page.close()
})

t.test('the walkthrough works by keyboard alone', async t => {
  const { page, errors } = await openPage(browser, server.url)
  /** Presses Tab until the element has the focus, and checks that the focus is visible. */
  async function tabTo(id: string): Promise<void> {
    for (let presses = 0; presses < 40; presses++) {
      await page.keyboard.press('Tab')
      const focused = await page.evaluate(() => {
        const element = document.activeElement
        return { id: element?.id, outline: element === null ? '' : getComputedStyle(element).outlineStyle }
      })
      if (focused.id !== id) continue
      t.equal(focused.outline, 'solid', `${id} shows its focus`)
      return
    }
    t.fail(`${id} can be reached with Tab`)
  }
  /** Presses a key, and waits until the focus has moved to the selector. */
  async function pressTo(key: string, selector: string): Promise<void> {
    await page.keyboard.press(key)
    await page.waitForSelector(`${selector}:focus`)
  }
  await tabTo('password')
  await page.keyboard.type(password)
  await pressTo('Enter', '#take button')
  await pressTo('Enter', '#connect')
  await pressTo('Space', '#replay')
  await pressTo('Enter', '#join')
  await pressTo('Enter', '#text')
  await page.keyboard.type('typed')
  await page.keyboard.press('Enter')
  await page.locator('#log p', { hasText: 'you typed' }).waitFor()
  t.equal(await page.locator('#text:focus').count(), 1, 'the text field keeps the focus')
  await page.focus('#second')
  await tabTo('log')
  await page.focus('#connect')
  await page.keyboard.press('Enter')
  t.equal(await page.locator('#connect:focus').count(), 1, 'a disabled button keeps the focus')
  t.equal(await page.getAttribute('#connect', 'aria-disabled'), 'true')
  await page.focus('#bytes summary')
  await page.keyboard.press('Enter')
  await page.locator('#layout', { hasText: 'HMAC' }).waitFor()
  t.strictSame(
    errors.filter(text => !expectedErrors.test(text)),
    [],
  )
  await page.close()
})

t.test('with reduced motion, nothing is animated', async t => {
  const { page } = await openPage(browser, server.url)
  const animated = () =>
    page.evaluate(() =>
      [...document.querySelectorAll('*')].flatMap(element =>
        [undefined, '::before', '::after'].flatMap(pseudo => {
          const { scrollBehavior, transitionDuration, animationName } = getComputedStyle(element, pseudo)
          const isStill = transitionDuration === '0s' && animationName === 'none' && scrollBehavior === 'auto'
          return isStill ? [] : [`${element.tagName}${pseudo ?? ''}`]
        }),
      ),
    )
  t.not((await animated()).length, 0, 'without it, something is animated')
  await page.emulateMedia({ reducedMotion: 'reduce' })
  t.strictSame(await animated(), [])
  await page.close()
})

t.test('every control has a name', async t => {
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await takeTicket(page)
  const controls = page.locator('input, button:visible, a, meter, summary')
  for (const control of await controls.all()) {
    const name = await control.evaluate(
      element =>
        element.getAttribute('aria-label') ??
        (element instanceof HTMLInputElement || element instanceof HTMLMeterElement
          ? (element.labels?.[0]?.textContent ?? element.getAttribute('aria-labelledby'))
          : element.textContent),
    )
    t.match(name, /\S/, await control.evaluate(element => element.outerHTML.slice(0, 60)))
  }
  await page.close()
})

t.test('changes are announced, without spelling out tokens and tickets', async t => {
  const { page } = await openPage(browser, server.url)
  const announced: string[] = []
  await page.exposeFunction('hear', (words: string) => announced.push(words))
  await page.evaluate(() => {
    const hear = (globalThis as unknown as { hear(words: string): void }).hear
    const before = new Map<Element, string>()
    const read = () => {
      for (const region of document.querySelectorAll(
        '[aria-live]:not([aria-live=off]), [role=status], [role=log], [role=alert]',
      )) {
        const words = region.textContent ?? ''
        // The countdown changes the page in every frame: a busy machine would fall behind.
        if (words !== before.get(region)) hear(words)
        before.set(region, words)
      }
    }
    new MutationObserver(read).observe(document.body, { subtree: true, childList: true, characterData: true })
  })
  await logIn(page)
  const token = await page.innerText('#login-result .token')
  await takeTicket(page)
  const ticket = await page.innerText('#take-result .unbroken')
  await page.click('#connect')
  await page.click('#replay')
  await page.waitForSelector('#replay-result [data-state=refused]')
  await join(page)
  t.match(
    [...new Set(announced.filter(words => words !== ''))].join('\n'),
    /^You are maggie\.[\s\S]*You have a ticket, for 600 seconds\.[\s\S]*the WebSocket is open[\s\S]*Refused before the handshake\. ticket_used/m,
  )
  for (const secret of [token, ticket])
    t.equal(
      announced.findIndex(words => words.includes(secret.slice(0, 20))),
      -1,
    )
  t.equal(await page.getAttribute('#countdown', 'aria-live'), 'off', 'the countdown is not announced')
  await page.close()
})

t.test('the next button is above the bytes, and on a phone the figures stay visible', async t => {
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await takeTicket(page)
  t.notOk(await page.isVisible('#layout'), 'the table is collapsed')
  await page.click('#bytes summary')
  t.ok(await page.isVisible('#layout'))
  const topOf = async (selector: string) => (await page.locator(selector).boundingBox())?.y ?? Number.NaN
  t.ok((await topOf('#connect')) < (await topOf('#layout')))
  await page.setViewportSize({ width: 390, height: 844 })
  for (const step of ['login', 'connect', 'chat']) {
    await page
      .locator(`#step-${step} h2`)
      .evaluate(heading => heading.scrollIntoView({ behavior: 'instant', block: 'start' }))
    for (const title of ['Connections', 'Tickets', 'Handshakes', 'Refusals', 'Messages']) {
      const box = await page.getByRole('region', { name: title, exact: true }).boundingBox()
      t.ok(box !== null && box.y > 0 && box.y + box.height <= 844 && box.x + box.width <= 390, title)
    }
  }
  await page.close()
})

t.test('contrast is sufficient in both colour schemes', async t => {
  const { page } = await openPage(browser, server.url)
  await logIn(page)
  await takeTicket(page)
  await page.click('#connect')
  await page.click('#replay')
  await page.waitForSelector('#replay-result [data-state=refused]')
  await join(page)
  await say(page, 'hello')
  await page.click('#bytes summary')
  await page.click('#chat-frames summary')
  await page.locator('#notice').evaluate(notice => notice.removeAttribute('hidden'))
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    // Only the ring of a step fades from one colour to the other; text does not.
    const poor = await page.evaluate(poorContrasts)
    t.strictSame(poor, [], colorScheme)
  }
  await page.close()
})

/**
 * Runs in the page. Returns all text whose contrast (WCAG 2.2, 1.4.3) is below 4.5, except in
 * disabled controls.
 */
function poorContrasts(): string[] {
  const numbers = (color: string): number[] => (color.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = (color: string): number => {
    const [red = 0, green = 0, blue = 0] = numbers(color)
      .slice(0, 3)
      .map(part => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const backgroundOf = (element: Element | null): string => {
    if (element === null) return 'rgb(255, 255, 255)'
    const color = getComputedStyle(element).backgroundColor
    return numbers(color)[3] === 0 ? backgroundOf(element.parentElement) : color
  }
  const poor: string[] = []
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].find(
      node => node.nodeType === Node.TEXT_NODE && /\S/.test(node.textContent ?? ''),
    )
    if (text === undefined || element.closest('[aria-disabled=true], noscript, script, style') !== null)
      continue
    const levels = [luminance(getComputedStyle(element).color), luminance(backgroundOf(element))]
    const ratio = (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05)
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.tagName} ${text.textContent?.trim()}`)
  }
  return poor
}
