import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import t from 'tap'
import { openBrowser, openPage } from '../support/browser.js'
import { exampleDirectory, runIn } from '../support/example.js'
import { bearer, postJson } from '../support/http.js'
import { fileNeeds } from '../support/programs.js'
import { adminKey, development, startServer } from '../support/server.js'

fileNeeds(t, 'chromium')

const programs = { express: 'server.js', fastify: 'server.js', nest: 'dist/main.js' } as const

for (const [name, program] of Object.entries(programs))
  t.test(`${name} issues tickets for its cookie sessions, and a logout closes the socket`, async t => {
    const directory = exampleDirectory(name)
    if (program.startsWith('dist/')) runIn(directory, 'npm', 'run', 'build')
    const gate = await startServer(t, { env: { ...development, TICKETGATE_ADMIN_KEY: adminKey } })
    const child = spawn(process.execPath, [program], {
      cwd: directory,
      env: { PATH: process.env.PATH, PORT: '0', GATE_ADMIN: gate.admin, TICKETGATE_ADMIN_KEY: adminKey },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the example has ended')))
    const [url] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [string]
    // The test itself ends the process later.
    ended.catch(() => {})

    t.equal((await postJson(url, '/ticket', {})).status, 401, 'no ticket without a session')
    const { page } = await openPage(await openBrowser(t), url)
    const says = (text: string) => page.locator('body', { hasText: text }).waitFor()
    await says('logged out')
    await page.click('button[type=submit]')
    await says('maggie is connected')
    await postJson(gate.admin, '/publish', { channel: 'lobby', data: 'hello' }, { headers: bearer(adminKey) })
    await says('hello')
    await page.reload()
    await says('maggie is connected')
    await page.click('#logout')
    await says('logged out: 4403')
    await page.reload()
    await says('logged out')
  })
