import { mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { takeTickets } from '../drivers/tickets.js'
import { say } from '../figures/text.js'
import { address, startChild } from './child.js'
import { freePort } from './free-port.js'
import { type Environment, peer } from './stage.js'
import type { Target } from './target.js'
import { startTicketgate } from './ticketgate.js'
import type { Users } from './users.js'

export type WayName = 'direct' | 'nginx' | 'HAProxy' | 'ticketgate'

/** A way to the upstream server: direct, through a proxy that checks nothing, or through a tunnel. */
export interface Way {
  readonly name: WayName
  /** The process whose CPU time and memory count: for the direct way, the upstream server. */
  readonly pid: number
  readonly host: string
  readonly port: number
  /** Lines for the opener, one per connection. */
  lines(path: string, count: number): Promise<string[]>
  /** The gate, where the way is a tunnel. */
  readonly gate?: Target
  /** Starts another, fresh one, with these additional environment variables. */
  another(env?: Environment): Promise<Way>
  stop(): Promise<void>
}

export interface WaysParts {
  readonly directory: string
  readonly users: Users
}

const prefix = '/t'
const repeated = (path: string, count: number): string[] => Array<string>(count).fill(`${prefix}${path}`)

/** The upstream server, reached directly. */
async function startDirect({ directory }: Pick<WaysParts, 'directory'>, env: Environment = {}): Promise<Way> {
  const own = mkdtempSync(join(directory, 'behind-'))
  const child = await startChild(
    [process.execPath, '--import=tsx', peer('behind.ts')],
    { NODE_ENV: 'production', ...env },
    join(own, 'log'),
  )
  return {
    name: 'direct',
    pid: child.pid,
    ...address(child),
    lines: async (path, count) => Array<string>(count).fill(path),
    another: more => startDirect({ directory }, more),
    stop: child.stop,
  }
}

// As Debian's package has them, but for logs, which are off, and for the number of connections.
const nginxSettings = (own: string, port: number, behind: number): string => `
daemon off; master_process off; pid ${own}/pid; error_log stderr notice;
worker_rlimit_nofile 20000; events { worker_connections 20000; }
http {
  access_log off; client_body_temp_path ${own}/1; proxy_temp_path ${own}/2; fastcgi_temp_path ${own}/3;
  uwsgi_temp_path ${own}/4; scgi_temp_path ${own}/5;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ${prefix}/ {
      proxy_pass http://127.0.0.1:${behind}/;
      proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
      proxy_read_timeout 1h; proxy_send_timeout 1h;
    }
  }
}
`

const haproxySettings = (port: number, behind: number): string => `
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  timeout tunnel 1h
listen tunnel
  bind 127.0.0.1:${port} backlog 4096
  http-request replace-path ${prefix}/(.*) /\\1
  server behind 127.0.0.1:${behind}
`

async function startProxy(name: 'nginx' | 'HAProxy', parts: WaysParts, behind: number): Promise<Way> {
  const own = mkdtempSync(join(parts.directory, `${name}-`))
  const file = join(own, 'settings')
  const port = await freePort()
  const isNginx = name === 'nginx'
  writeFileSync(file, isNginx ? nginxSettings(own, port, behind) : haproxySettings(port, behind))
  const child = await startChild(
    isNginx ? ['nginx', '-c', file, '-p', own] : ['haproxy', '-db', '-V', '-f', file],
    { PATH: `/usr/sbin:${process.env.PATH}` },
    join(own, 'log'),
    log => (/using (?:the "epoll"|epoll)/i.test(log) ? { url: `http://127.0.0.1:${port}` } : undefined),
  ).catch((error: Error) => {
    throw new Error(`no ${name} (apt-get install ${name.toLowerCase()}): ${error.message}`)
  })
  return {
    name,
    pid: child.pid,
    ...address(child),
    lines: async (path, count) => repeated(path, count),
    another: () => startProxy(name, parts, behind),
    stop: child.stop,
  }
}

async function startTunnel(parts: WaysParts, behind: number, env: Environment = {}): Promise<Way> {
  const gate = await startTicketgate(parts.directory, parts.users, {
    settings: { TICKETGATE_TUNNELS: `${prefix}/*=ws://127.0.0.1:${behind}/;channel=tunnel`, ...env },
  })
  return {
    name: 'ticketgate',
    pid: gate.child.pid,
    host: gate.host,
    port: gate.port,
    lines: async (path, count) =>
      (await takeTickets(gate, count, 32)).map(ticket => `${prefix}${path}?ticket=${ticket}`),
    gate,
    another: more => startTunnel(parts, behind, { ...env, ...more }),
    stop: gate.stop,
  }
}

/** Starts all ways to one upstream server. A proxy that is not installed is left out. */
export async function startWays(parts: WaysParts): Promise<Way[]> {
  const direct = await startDirect(parts)
  const ways = [direct]
  for (const name of ['nginx', 'HAProxy'] as const)
    try {
      ways.push(await startProxy(name, parts, direct.port))
    } catch (error) {
      say(`${name} is left out: ${(error as Error).message}`)
    }
  return [...ways, await startTunnel(parts, direct.port)]
}
