const intervalMs = 250

/**
 * Stops this process, as SIGTERM does, when the one that started it has gone. npm runs a script in a shell and tells
 * only that to stop: the shell ends, and a server it has started would go on by itself, with the port.
 */
export function stopWithParent(): void {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, intervalMs)
  timer.unref()
}
