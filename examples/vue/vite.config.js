import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// Only for this repository. In your project, install the client and remove the alias.
const client = fileURLToPath(new URL('../../dist/client/index.js', import.meta.url))

// biome-ignore lint/style/noDefaultExport: Vite wants one
export default defineConfig({
  plugins: [vue()],
  resolve: { alias: { 'ticketgate/client': client } },
  server: { host: '127.0.0.1', fs: { allow: ['../..'] } },
  base: './',
})
