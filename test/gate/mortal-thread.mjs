/**
 * Preloaded into a server: makes thread N fail when a file whose name begins with N- appears in
 * MORTAL_DIRECTORY.
 */
import { watch } from 'node:fs'
import { isMainThread, workerData } from 'node:worker_threads'

if (!isMainThread)
  watch(process.env.MORTAL_DIRECTORY, (_, name) => {
    if (name?.startsWith(`${workerData?.thread}-`))
      setImmediate(() => {
        throw new Error('a fault caused by the test')
      })
  }).unref()
