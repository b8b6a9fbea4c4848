import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly pem: string
}

/** A self-signed certificate for loopback, ECDSA over P-256. Throws if there is no openssl. */
export const createCertificate = (directory: string): Certificate => {
  const [certFile, keyFile] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const args = ['req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=bench']
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', keyFile, '-out', certFile]
  const { status, error, stderr } = spawnSync(
    'openssl',
    [...args, ...key, '-addext', 'subjectAltName=IP:127.0.0.1'],
    { encoding: 'utf8' },
  )
  if (error !== undefined || status !== 0)
    throw new Error(`no certificate (apt-get install openssl): ${error?.message ?? stderr}`)
  return { certFile, keyFile, pem: readFileSync(certFile, 'utf8') }
}
