import { readFileSync } from 'node:fs'

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')

/** The service's own version. package.json is one folder above both src and dist. */
export const { version: VERSION } = JSON.parse(manifest) as { version: string }
