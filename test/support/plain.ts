/**
 * A command line that runs another with these NODE_OPTIONS and no others. tap adds an option to every child
 * process, whatever `env` says, to measure coverage: with it a server takes twice as long to start.
 */
export const plain = (
  command: string,
  args: readonly string[],
  nodeOptions = '',
): [command: string, args: string[]] => [
  'sh',
  ['-c', 'NODE_OPTIONS=$0 exec "$@"', nodeOptions, command, ...args],
]
