import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { temporaryDirectory } from './fixtures.js'
import { pathOf } from './programs.js'

/** A busy machine takes its time; what is waited for is a condition, never a time. */
const patience = 60_000

const artifacts = fileURLToPath(new URL('../../artifacts/', import.meta.url))

/** Chromium with a profile of its own, ended with the test. One for a file: its start is slow. */
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
  // tsx wraps functions in a call of this, those too that are sent to the page.
  await browser.addInitScript('globalThis.__name = wrapped => wrapped')
  t.teardown(() => browser.close())
  return browser
}

/** A new tab, and what its console says at level error, violations of the policy included. */
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

/** Keeps what a page looks like, for people. */
export async function keepScreenshot(page: Page, name: string): Promise<void> {
  mkdirSync(artifacts, { recursive: true })
  await page.screenshot({ path: join(artifacts, `${name}.png`), fullPage: true })
}
