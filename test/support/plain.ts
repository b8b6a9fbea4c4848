/**
 * A command line that runs another without NODE_OPTIONS. tap sets it in every child process, even if it is
 * left out of `env`, to measure coverage: this would double the time a server takes to start.
 */
export const plain = (command: string, args: readonly string[]): [command: string, args: string[]] => [
  'sh',
  ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', command, ...args],
]
