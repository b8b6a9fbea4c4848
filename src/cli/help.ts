import { helpText } from '../config/help.js'
import type { Command } from './command.js'

const overview = `Usage: ticketgate COMMAND [options]

  serve                          run the server
  check                          say whether the server would start with this configuration
  user add|passwd|remove|list    the users who may log in
  key new                        make a key for an outside minter
  token explain                  say whether the server configured here accepts a token, or why not
  attack URL                     attack the tickets of a server of yours, and say what held
  health                         ask the server configured here whether it works: exit code 0 or 1
  help, --help                   show this
  --version                      show the version

COMMAND --help says what a command takes.

`

/** Prints the commands, and the options of the server. */
export const help: Command = async (_args, { stdout }) => {
  stdout.write(overview + helpText())
  return 0
}
