import { fileURLToPath } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// In this repository the client is beside the example. In yours, install it, and leave the alias out.
const client = fileURLToPath(new URL('../../dist/client/index.js', import.meta.url))

// biome-ignore lint/style/noDefaultExport: Vite wants one
export default defineConfig({
  plugins: [vue()],
  resolve: { alias: { 'ticketgate/client': client } },
  server: { host: '127.0.0.1', fs: { allow: ['../..'] } },
  base: './',
})
