/** Preloaded into a server under test: lets thread N fail when a file named N appears in MORTAL_DIRECTORY. */
import { watch } from 'node:fs'
import { isMainThread, workerData } from 'node:worker_threads'

if (!isMainThread)
  watch(process.env.MORTAL_DIRECTORY, (_, name) => {
    if (name?.startsWith(`${workerData?.thread}-`))
      setImmediate(() => {
        throw new Error('a fault in the midst of work')
      })
  }).unref()
