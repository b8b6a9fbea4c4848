import { helpText } from '../config/help.js'
import type { Command } from './command.js'

const overview = `Usage: ticketgate COMMAND [options]

  serve                          run the server
  check                          check whether the server would start with this configuration
  user add|passwd|remove|list    manage the users who may log in
  key new                        generate a key for an outside minter
  token explain                  explain whether the server configured here accepts a token
  attack URL                     attack the tickets of your server, and report what held
  health                         check the server configured here: exit code 0 or 1
  help, --help                   show this help
  --version                      show the version

COMMAND --help describes a command.

`

/** Prints the commands, and the options of the server. */
export const help: Command = async (_args, { stdout }) => {
  stdout.write(overview + helpText())
  return 0
}
