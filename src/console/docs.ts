/** The pages of the documentation that the console links to: their path there, and their file. */
export const consoleDocs = {
  '/console/docs/getting-started.md': 'docs/getting-started.md',
  '/console/docs/browser-client.md': 'docs/browser-client.md',
  '/console/docs/http-api.md': 'docs/http-api.md',
  '/console/docs/protocol.md': 'src/socket/PROTOCOL.md',
  '/console/docs/ticket-format.md': 'src/ticket/FORMAT.md',
  '/console/docs/disconnect.md': 'docs/disconnect.md',
  '/console/docs/errors.md': 'docs/errors.md',
  '/console/docs/troubleshooting.md': 'docs/troubleshooting.md',
} as const
