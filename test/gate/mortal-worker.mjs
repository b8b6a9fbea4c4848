/** The worker of the product, which can be made to fail: by a word on a channel of the tests' own. */
import { BroadcastChannel, workerData } from 'node:worker_threads'
import { register } from 'tsx/esm/api'

register()
const death = new BroadcastChannel('mortal-worker')
death.unref()
death.onmessage = ({ data }) => {
  if (data === workerData.thread)
    setImmediate(() => {
      throw new Error('a fault in the midst of work')
    })
}
await import('../../src/gate/worker.ts')
