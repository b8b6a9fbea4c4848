import type { ChildProcess } from 'node:child_process'

const children = new Set<ChildProcess>()

const killAll = (): void => {
  for (const child of children) child.kill('SIGKILL')
}
process.once('exit', killAll)
// A test that reaches its time limit is ended by a signal without an exit event, and its children
// would keep running.
for (const signal of ['SIGALRM', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)
  process.once(signal, () => {
    killAll()
    process.kill(process.pid, signal)
  })

/** Makes a child process end with this one, however that ends. */
export function keep(child: ChildProcess): void {
  children.add(child)
  child.once('exit', () => children.delete(child))
}
