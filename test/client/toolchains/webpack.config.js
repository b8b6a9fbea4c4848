import { fileURLToPath } from 'node:url'

// biome-ignore lint/style/noDefaultExport: that is how webpack reads it
export default {
  entry: './src/page.js',
  output: { path: fileURLToPath(new URL('built/webpack/', import.meta.url)), filename: 'page.js' },
}
