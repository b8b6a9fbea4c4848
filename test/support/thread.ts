import { Worker, type WorkerOptions } from 'node:worker_threads'

/**
 * Starts a thread on a TypeScript file. Node 20 does not pass the loader of `--import=tsx` on to
 * threads.
 */
export const startThread = (file: URL, workerData: unknown, options: WorkerOptions = {}): Worker =>
  new Worker(
    `import('tsx/esm/api').then(api => { api.register(); return import(${JSON.stringify(file.href)}) })`,
    { ...options, eval: true, execArgv: [], workerData },
  )
