import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { looseModes } from '../../src/disk/loose-modes.js'
import { certificate, certificateKey } from '../support/certificate.js'
import { ticketKeys } from '../support/nodes.js'
import { jwtSecret, startServer, temporaryDirectory } from '../support/server.js'

t.test('the start warns about a file with secrets that other users can access', async t => {
  const directory = temporaryDirectory(t)
  const write = (name: string, text: string, mode: number): string => {
    writeFileSync(join(directory, name), text)
    chmodSync(join(directory, name), mode)
    return join(directory, name)
  }
  const files = {
    TICKETGATE_JWT_SECRET_FILE: write('secret', jwtSecret, 0o644),
    TICKETGATE_TICKET_KEYS_FILE: write('keys', ticketKeys, 0o604),
    TICKETGATE_TLS_KEY_FILE: write('key.pem', certificateKey, 0o620),
    TICKETGATE_USERS_FILE: write('users.json', '{}', 0o666),
  }
  const env = {
    ...files,
    TICKETGATE_JWT_SECRET: undefined,
    TICKETGATE_NODE: 'one',
    TICKETGATE_TLS_CERT_FILE: write('cert.pem', certificate, 0o644),
  }
  const warned = async (): Promise<unknown[]> => {
    const server = await startServer(t, { env })
    await server.stop()
    return server.log
      .entries()
      .filter(({ msg }) => String(msg).includes('other users can access this file'))
      .map(({ level, path, mode }) => [level, path, mode])
  }
  t.strictSame(await warned(), [
    ['warn', files.TICKETGATE_JWT_SECRET_FILE, '0644'],
    ['warn', files.TICKETGATE_TICKET_KEYS_FILE, '0604'],
    ['warn', files.TICKETGATE_TLS_KEY_FILE, '0620'],
    ['warn', files.TICKETGATE_USERS_FILE, '0666'],
  ])
  for (const file of Object.values(files)) chmodSync(file, 0o440)
  t.strictSame(await warned(), [], 'no warning if only the group can read, as with Kubernetes secrets')
})

t.test('the start warns about a file of settings that other users can change', async t => {
  const directory = temporaryDirectory(t)
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    chmodSync(join(directory, name), 0o666)
    return join(directory, name)
  }
  const env = {
    TICKETGATE_ORIGINS: undefined,
    TICKETGATE_ORIGINS_FILE: write('origins', 'https://app.example.com\n'),
    TICKETGATE_SETTINGS_FILE: write('settings', 'TICKETGATE_LOGIN_RATE=10/60\n'),
  }
  const files = [env.TICKETGATE_ORIGINS_FILE, env.TICKETGATE_SETTINGS_FILE]
  const warned = async (): Promise<unknown[]> => {
    const server = await startServer(t, { env })
    await server.stop()
    return server.log
      .entries()
      .filter(({ msg }) => String(msg).includes('other users can change this file'))
      .map(({ level, path, mode }) => [level, path, mode])
  }
  t.strictSame(
    await warned(),
    files.map(file => ['warn', file, '0666']),
  )
  for (const file of files) chmodSync(file, 0o644)
  t.strictSame(await warned(), [], 'no warning if others can only read')
})

t.test('a missing file is not reported as having loose permissions', async t => {
  t.strictSame(looseModes([join(t.testdir(), 'none'), '/proc/1/nothing/here']), [])
})
