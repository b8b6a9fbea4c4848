#!/usr/bin/env node
// Any Node with ES modules must be able to run this file, so that an old one gets advice. It
// imports next to nothing, so that a signal can end the start from here on. The rest is loaded once
// it is known to run.
import { readFileSync } from 'node:fs'
import { unsupportedNode } from './cli/node-support.js'
import { exitOnStopSignals } from './cli/stop-signals.js'

const [command = 'help', ...args] = process.argv.slice(2)

// A server that is stopped before it has started exits with 0. Any other command has failed: 128
// plus the number of the signal, as in shells.
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
