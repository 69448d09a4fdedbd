import { readFileSync } from 'node:fs'

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')

/** The service's own version; package.json stands beside dist as it does beside src. */
export const { version: VERSION } = JSON.parse(manifest) as { version: string }
