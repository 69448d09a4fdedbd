import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { readPage } from '../../support/markdown.ts'
import { freshNamespace } from '../../support/namespace.ts'
import { type Service, startService } from '../../support/service.ts'

let server: Service | undefined

beforeAll(async () => {
  const env = { TEST_CLOCK: 'true', WEBHOOK_ALLOW: '127.0.0.1', NAMESPACE: freshNamespace() }
  server = await startService({ env })
  process.env.CARILLON_URL = server.url
})
afterAll(async () => {
  await server?.end()
})

// The file that the guide shows: its tests become tests of this file.
const shown = readPage('docs/guides/testing.md').fences.find(({ language }) => language === 'ts')
const folder = mkdtempSync(resolve('test/e2e/clock/guide-'))
try {
  const path = join(folder, 'shown.ts')
  writeFileSync(path, shown?.text ?? '')
  await import(path)
} finally {
  rmSync(folder, { recursive: true })
}
