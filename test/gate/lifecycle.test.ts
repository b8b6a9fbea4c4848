import t from 'tap'
import { openGate } from '../support/gate.js'
import { request } from '../support/http.js'

t.test('a second call of listen() throws, and the gate keeps running', async t => {
  for (const threads of [1, 2]) {
    const gate = await openGate(t, { threads })
    const first = gate.listen()
    await t.rejects(gate.listen(), { name: 'TypeError', message: /listen\(\) was called before/ })
    const { url } = await first
    await t.rejects(gate.listen(), { name: 'TypeError', message: /listen\(\) was called before/ })
    t.equal((await request(url, '/healthz')).status, 200, `${threads} threads`)
  }
})

t.test('a closed gate cannot listen', async t => {
  for (const threads of [1, 2]) {
    const closed = await openGate(t, { threads })
    await closed.close()
    await t.rejects(closed.listen(), { name: 'TypeError', message: /after close\(\)/ })
    const drained = await openGate(t, { threads })
    await drained.drain()
    await t.rejects(drained.listen(), { name: 'TypeError' })
  }
})

t.test('a gate can be closed in any state, and more than once', async t => {
  const unused = await openGate(t)
  await unused.drain()
  await unused.close()
  await unused.close()
  const used = await openGate(t)
  const { url } = await used.listen()
  await Promise.all([used.drain(), used.drain(), used.close()])
  await t.rejects(request(url, '/healthz'))
})

t.test('a start that fails leaves nothing open', async t => {
  const first = await openGate(t)
  const { adminUrl } = await first.listen()
  const second = await openGate(t, { adminPort: Number(new URL(adminUrl).port) })
  await t.rejects(second.listen(), { code: 'port_unavailable' })
  await t.rejects(second.listen(), { name: 'TypeError' })
})
