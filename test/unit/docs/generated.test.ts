import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import type { TestClock } from '../../../src/clock/test-clock.ts'
import { SETTINGS, type SettingFacts } from '../../../src/server/settings.ts'
import { httpApp } from '../../support/http-app.ts'

const SETTINGS_PAGE = 'docs/reference/settings.md'
const ROUTES_PAGE = 'docs/reference/http-api.md'

/** Holds a page with these rows between its markers against the file; `npm run docs` writes them there. */
async function expectRows(path: string, name: string, rows: readonly string[]): Promise<void> {
  const page = readFileSync(path, 'utf8')
  const [, before, after] =
    new RegExp(`^(.*<!-- ${name} -->\n).*(<!-- /${name} -->.*)$`, 's').exec(page) ?? []
  expect(before, `${path} has no <!-- ${name} --> and <!-- /${name} -->`).toBeDefined()
  await expect(`${before}${rows.join('\n')}\n${after}`).toMatchFileSnapshot(`../../../${path}`)
}

const UNITS = [
  ['days', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const
const inWords = (name: string, value: unknown): string => {
  const [unit, ms] = UNITS.find(([, ms]) => name.endsWith('_MS') && Number(value) >= ms) ?? []
  return ms === undefined ? '' : ` (${Number(value) / ms} ${unit})`
}

function defaultOf(name: string, { default: value, clusterDefault, unset }: SettingFacts): string {
  if (value === undefined) return unset ?? ''
  const onCluster = clusterDefault === undefined ? '' : `; on a cluster \`${clusterDefault}\``
  return `\`${value}\`${inWords(name, value)}${onCluster}`
}

it('the table of settings is what the server goes by: npm run docs', async () => {
  await expectRows(SETTINGS_PAGE, 'settings', [
    '| name | default | allowed | meaning |',
    '| --- | --- | --- | --- |',
    ...Object.entries<SettingFacts>(SETTINGS.properties).map(
      ([name, facts]) =>
        `| \`${name}\` | ${defaultOf(name, facts)} | ${facts.allowed.replaceAll('<', '&lt;')} | ${facts.description} |`,
    ),
  ])
})

interface Operation {
  readonly summary: string
  readonly security: readonly { readonly key?: readonly string[] }[]
}

it('the table of routes is what /openapi.json says: npm run docs', async () => {
  const app = await httpApp({}, { testClock: { now: Date.now } as TestClock })
  const { paths } = (await app.inject('/openapi.json')).json<{
    paths: Record<string, Record<string, Operation>>
  }>()
  await app.close()
  const page = readFileSync(ROUTES_PAGE, 'utf8')
  // Where a summary leads to is kept by hand.
  const linkOf = (route: string) =>
    page
      .split('\n')
      .find((line) => line.startsWith(`| \`${route}\` |`))
      ?.match(/\]\(([^)]+)\)/)?.[1]
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary, security }]) => {
      const route = `${method.toUpperCase()} ${path}`
      const link = linkOf(route)
      const keys = security.flatMap(({ key }) => (key === undefined ? [] : [key]))
      const scope = keys.length === 0 ? 'open' : keys.flat().join(' or ') || 'any'
      return `| \`${route}\` | ${scope} | ${link === undefined ? summary : `[${summary}](${link})`} |`
    }),
  )
  await expectRows(ROUTES_PAGE, 'routes', [
    '| route | scope | what it does |',
    '| --- | --- | --- |',
    ...rows,
  ])
})
