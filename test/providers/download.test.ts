import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { Downloader } from '../../src/providers/download.js'
import { type Answer, startProvider, text } from '../support/provider.js'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

t.test('the time limit holds across garbage collections', async t => {
  const silent: readonly (readonly [name: string, answer: Answer])[] = [
    ['no response', () => {}],
    ['a head without a body', response => void response.writeHead(200).flushHeaders()],
    ['a body that only begins', response => void response.writeHead(200).write('{"keys":')],
  ]
  for (const [name, answer] of silent) {
    let closed: Promise<unknown> = Promise.resolve()
    const provider = await startProvider(t, (response, request) => {
      closed = once(response, 'close')
      answer(response, request)
    })
    const downloader = await Downloader.open({ timeoutMs: 500, maxBytes: 1000 })
    t.teardown(() => downloader.close())
    const collecting = setInterval(collectGarbage, 20)
    await t.rejects(downloader.download(provider.url), /no answer within 500 ms/, name)
    clearInterval(collecting)
    await closed
  }
})

t.test('a download in time leaves no timer behind', async t => {
  const provider = await startProvider(t, text('{}'))
  const downloader = await Downloader.open({ timeoutMs: 60_000, maxBytes: 1000 })
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  await downloader.download(provider.url)
  const before = timers()
  for (let n = 0; n < 5; n++) t.match(await downloader.download(provider.url), { text: '{}' })
  t.equal(timers(), before)
  downloader.close()
})

t.test('closing ends running downloads', async t => {
  const provider = await startProvider(t, () => {})
  const downloader = await Downloader.open({ timeoutMs: 60_000, maxBytes: 1000 })
  const download = downloader.download(provider.url)
  await provider.nextAsked()
  downloader.close()
  await t.rejects(download)
})
