import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { temporaryDirectory } from './fixtures.js'
import { pathOf } from './programs.js'

/** In milliseconds. Generous, for busy machines: tests wait for conditions, not for times. */
const patience = 240_000

const artifacts = fileURLToPath(new URL('../../artifacts/', import.meta.url))

/**
 * Starts Chromium with its own profile until the test ends. One per file, because its start is
 * slow.
 */
export async function openBrowser(t: Test): Promise<BrowserContext> {
  const browser = await chromium.launchPersistentContext(temporaryDirectory(t), {
    executablePath: pathOf('chromium'),
    headless: true,
    viewport: { width: 1280, height: 900 },
    timeout: patience,
    args: [
      '--no-sandbox',
      '--headless',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  browser.setDefaultTimeout(patience)
  // tsx wraps functions in calls to this, including functions that are sent to the page.
  await browser.addInitScript('globalThis.__name = wrapped => wrapped')
  t.teardown(() => browser.close())
  return browser
}

/** Opens a tab and records console errors, including violations of the content security policy. */
export async function openPage(
  browser: BrowserContext,
  url: string,
): Promise<{ readonly page: Page; readonly errors: string[] }> {
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('console', message => {
    if (message.type() === 'error') errors.push(message.text())
  })
  page.on('pageerror', error => errors.push(String(error)))
  await page.goto(url)
  return { page, errors }
}

/** Saves a screenshot of a page for people to look at. */
export async function keepScreenshot(page: Page, name: string): Promise<void> {
  mkdirSync(artifacts, { recursive: true })
  await page.screenshot({ path: join(artifacts, `${name}.png`), fullPage: true })
}
