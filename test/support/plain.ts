/**
 * A command line that runs another with exactly these NODE_OPTIONS. To measure coverage, tap adds
 * an option to every child process, whatever `env` says, which doubles the start time of a server.
 */
export const plain = (
  command: string,
  args: readonly string[],
  nodeOptions = '',
): [command: string, args: string[]] => [
  'sh',
  ['-c', 'NODE_OPTIONS=$0 exec "$@"', nodeOptions, command, ...args],
]
