#!/usr/bin/env node
// What stands here runs on any Node with ES modules, so that an old one is told what to do, and imports next to nothing,
// so that a signal ends the start from here on. The rest is loaded once it is known to run.
import { readFileSync } from 'node:fs'
import { unsupportedNode } from './cli/node-support.js'
import { exitOnStopSignals } from './cli/stop-signals.js'

const [command = 'help', ...args] = process.argv.slice(2)

// A server that is told to stop before it has begun has stopped as it should. Any other command has not done its work:
// 128 and the number of the signal, as a shell has it.
exitOnStopSignals(signal => (command === 'serve' ? 0 : signal === 'SIGINT' ? 130 : 143))

if (command === '--version') {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  process.stdout.write(`${manifest.version}\n`)
} else {
  const fault = unsupportedNode(process.versions.node)
  if (fault === undefined) import('./cli/run.js').then(({ run }) => run(command, args))
  else {
    process.stderr.write(`ticketgate: ${fault}\n`)
    process.exitCode = 1
  }
}
