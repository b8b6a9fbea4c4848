import type { Page } from 'playwright-core'
import type { Environment } from './server.js'

export const password = 'of maggie, for the console'
export const users = { maggie: password }
/** Enables the console on a server whose tokens survive a restart. */
export const consoleOn: Environment = { TICKETGATE_CONSOLE: 'on', TICKETGATE_ORIGINS: undefined }

/** A button that can be used. */
export const usable = 'button:not([aria-disabled=true])'

export async function logIn(page: Page): Promise<void> {
  await page.fill('#password', password)
  const answer = page.waitForResponse(response => response.url().endsWith('/auth'))
  await page.click('#login button')
  await answer
  // The page may still show the result of an earlier login: the button is usable again once this
  // one is done.
  await page.waitForSelector(`#login ${usable}`)
  await page.waitForSelector('#login-result .parts')
}

export async function takeTicket(page: Page): Promise<void> {
  await page.click('#take button')
  await page.waitForSelector('#ticket:not([hidden])')
}

export async function join(page: Page): Promise<void> {
  await page.click('#join:not([aria-disabled=true])')
  await page.waitForSelector('#chat-state[data-state=open]')
}

export const say = async (page: Page, text: string): Promise<void> => {
  await page.fill('#text', text)
  await page.click('#say button')
}

export const hears = (page: Page, text: string) =>
  page.locator('#log p', { has: page.locator('b', { hasText: 'maggie' }), hasText: text }).waitFor()
