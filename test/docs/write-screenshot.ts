/**
 * Takes the screenshot of the console in the README. After a change of its appearance, run
 * `npx --no-install tsx test/docs/write-screenshot.ts`.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { pathOf } from '../support/programs.js'

const file = fileURLToPath(new URL('../../docs/images/console.png', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'ticketgate-screenshot-'))

const server = spawn('npm', ['start'], {
  cwd: fileURLToPath(new URL('../../', import.meta.url)),
  // A minute, so that the ticket is still valid when the screenshot is taken.
  env: {
    PATH: process.env.PATH,
    TICKETGATE_STATE_DIR: directory,
    TICKETGATE_PORT: '0',
    TICKETGATE_ADMIN_PORT: '0',
    TICKETGATE_TICKET_TTL_SECONDS: '60',
  },
  stdio: ['ignore', 'pipe', 'inherit'],
  detached: true,
})
let [url, password]: (string | undefined)[] = []
for await (const line of createInterface(server.stdout)) {
  url ??= /listens on (http:\S+),/.exec(line)?.[1]
  password ??= /^user maggie, password (\S+)/.exec(line)?.[1]
  if (url !== undefined && password !== undefined) break
}
if (url === undefined || password === undefined) throw new Error('npm start ended early')

const browser = await chromium.launch({ executablePath: pathOf('chromium'), args: ['--no-sandbox'] })
try {
  const page = await browser.newPage({ viewport: { width: 1180, height: 1010 } })
  await page.goto(url)
  await page.fill('#password', password)
  await page.click('#login button')
  await page.click('#take button')
  await page.click('#connect')
  await page.click('#replay')
  await page.waitForSelector('#replay-result :text("ticket_used")')
  // The figures are updated once a second.
  await page.waitForSelector('#codes :text("ticket_used")')
  await page.click('#bytes summary')
  await page
    .locator('#step-replay')
    .evaluate(step => step.scrollIntoView({ block: 'end', behavior: 'instant' }))
  await page.screenshot({ path: file })
} finally {
  await browser.close()
  // Ends the process group: npm and the server.
  if (server.pid !== undefined) process.kill(-server.pid, 'SIGTERM')
  rmSync(directory, { recursive: true })
}
