import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { onTestFinished } from 'vitest'

const run = promisify(execFile)

export interface Certificates {
  /** the file of the authority's certificate */
  readonly caFile: string
  /** arguments of a redis-server or sentinel on 127.0.0.1 that uses TLS on a port */
  argsFor(port: number): string[]
}

/** A new certificate authority, and its certificate for 127.0.0.1. Both are deleted with the test. */
export async function makeCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(join(tmpdir(), 'carillon-tls-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  const at = (name: string) => join(dir, name)
  const openssl = (...args: string[]) => run('openssl', args)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc']
  await openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.crt'),
    '-subj',
    '/CN=test authority',
    '-days',
    '2',
  )
  await openssl(
    'req',
    ...key,
    '-keyout',
    at('redis.key'),
    '-out',
    at('redis.csr'),
    '-subj',
    '/CN=redis',
    '-addext',
    'subjectAltName=IP:127.0.0.1',
  )
  await openssl(
    ...[
      'x509',
      '-req',
      '-in',
      at('redis.csr'),
      '-CA',
      at('ca.crt'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
    ],
    ...['-out', at('redis.crt'), '-days', '2', '-copy_extensions', 'copy'],
  )
  return {
    caFile: at('ca.crt'),
    argsFor: (port) => [
      ...['--tls-port', String(port), '--tls-auth-clients', 'no'],
      ...[
        '--tls-cert-file',
        at('redis.crt'),
        '--tls-key-file',
        at('redis.key'),
        '--tls-ca-cert-file',
        at('ca.crt'),
      ],
    ],
  }
}
