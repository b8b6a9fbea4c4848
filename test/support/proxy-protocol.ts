import { isIPv4 } from 'node:net'

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

const header = (command: number, family: number, payload: Buffer): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(payload.length)
  return Buffer.concat([signature, Buffer.from([0x20 | command, family]), length, payload])
}

const bytesOf = (address: string): Buffer =>
  isIPv4(address)
    ? Buffer.from(address.split('.').map(Number))
    : Buffer.from(
        address
          .split(':')
          .map(group => group.padStart(4, '0'))
          .join(''),
        'hex',
      )

/**
 * The header of the PROXY protocol, version 2, in which a load balancer names its client.
 * @param client an IPv4 address, or an IPv6 address with all of its eight groups
 */
export const proxyHeader = (client: string, options: Buffer = Buffer.alloc(0)): Buffer => {
  const source = bytesOf(client)
  const ports = Buffer.from([0x12, 0x34, 0x1f, 0x90])
  const family = source.length === 4 ? 0x11 : 0x21
  return header(1, family, Buffer.concat([source, Buffer.alloc(source.length), ports, options]))
}

/** The same for a connection of the load balancer's own, such as a health check. */
export const localHeader: Buffer = header(0, 0, Buffer.alloc(0))
