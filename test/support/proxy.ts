import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { temporaryDirectory } from './fixtures.js'
import { freePort } from './free-port.js'
import { startProgram } from './redis.js'

const readConfig = (name: string, replacements: Readonly<Record<string, string>>): string => {
  let text = readFileSync(new URL(`../proxy/${name}`, import.meta.url), 'utf8')
  for (const [from, to] of Object.entries(replacements)) {
    if (!text.includes(from)) throw new Error(`${name} has no ${from}`)
    text = text.replaceAll(from, to)
  }
  return text
}

/** A file of test/proxy, its addresses replaced. Returns its path. */
export const writeConfig = (
  t: Test,
  name: string,
  replacements: Readonly<Record<string, string>>,
): string => {
  const file = join(temporaryDirectory(t), name)
  writeFileSync(file, readConfig(name, replacements))
  return file
}

/**
 * Starts nginx with a configuration of test/proxy, its addresses replaced. Returns its base URL.
 */
export const startNginx = async (
  t: Test,
  config: string,
  replacements: Readonly<Record<string, string>>,
): Promise<string> => {
  const directory = temporaryDirectory(t)
  const port = await freePort()
  const site = readConfig(config, {
    '/var/log/nginx/access.log': join(directory, 'access.log'),
    ...replacements,
  }).replace(/^ *listen (8000|443)/m, `listen 127.0.0.1:${port}`)
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off;
    master_process off;
    pid ${directory}/nginx.pid;
    error_log ${directory}/error.log;
    events { worker_connections 15000; }
    http {
      ${paths.map(name => `${name}_temp_path ${directory}/${name};`).join('\n')}
      ${site}
    }`,
  )
  const nginx = await startProgram(t, 'nginx', [
    '-p',
    directory,
    '-e',
    join(directory, 'error.log'),
    '-c',
    join(directory, 'nginx.conf'),
  ])
  await nginx.until(() => nginx.listensOn(port))
  return `http://127.0.0.1:${port}`
}

/** The same with HAProxy. */
export const startHaproxy = async (
  t: Test,
  config: string,
  replacements: Readonly<Record<string, string>>,
): Promise<string> => {
  const port = await freePort()
  const file = writeConfig(t, config, { 'bind :8000': `bind 127.0.0.1:${port}`, ...replacements })
  const haproxy = await startProgram(t, 'haproxy', ['-db', '-f', file])
  await haproxy.until(() => haproxy.listensOn(port))
  return `http://127.0.0.1:${port}`
}

/** The same with Caddy, which gets the configuration as that of one site. */
export const startCaddy = async (
  t: Test,
  config: string,
  replacements: Readonly<Record<string, string>>,
): Promise<string> => {
  const directory = temporaryDirectory(t)
  const port = await freePort()
  const file = join(directory, 'Caddyfile')
  writeFileSync(
    file,
    `{
      admin off
      auto_https off
    }
    :${port} {
      bind 127.0.0.1
      ${readConfig(config, replacements)}
    }`,
  )
  // Caddy 2.6 cannot be told to keep its configuration to itself: it is written there, as its
  // storage is.
  const home = { HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory }
  const caddy = await startProgram(t, 'caddy', ['run', '--config', file, '--adapter', 'caddyfile'], {
    ...process.env,
    ...home,
  })
  await caddy.until(() => caddy.listensOn(port))
  return `http://127.0.0.1:${port}`
}
