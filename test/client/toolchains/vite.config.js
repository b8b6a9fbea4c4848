// biome-ignore lint/style/noDefaultExport: that is how Vite reads it
export default { build: { outDir: 'built/vite', target: 'es2022' } }
