import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'

export const CA_FILE_FORM = 'a file with one or more certificates in PEM format'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/**
 * Reads the certificates of authorities.
 * @returns them in PEM form
 * @throws Error with what is wrong with the file
 */
export function readCaFile(path: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`it cannot be read: ${(error as NodeJS.ErrnoException).code}`, { cause: error })
  }
  const certificates = text.match(CERTIFICATE) ?? []
  if (certificates.length === 0) throw new Error('it contains no certificate in PEM form')
  for (const [i, certificate] of certificates.entries()) {
    try {
      new X509Certificate(certificate)
    } catch (error) {
      throw new Error(`its certificate ${i + 1} cannot be read`, { cause: error })
    }
  }
  return certificates.join('\n')
}
