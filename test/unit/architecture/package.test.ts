import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

interface Manifest {
  readonly name: string
  readonly dev: boolean
  readonly engines: { readonly node: string }
}

const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest
const oldest = engines.node.replace('>=', '')

/** Names of the production packages in package-lock.json that match a selector of `npm query`. */
function productionPackages(selector: string): string[] {
  const found = execFileSync('npm', ['query', selector, '--package-lock-only'], { encoding: 'utf8' })
  return (JSON.parse(found) as Manifest[]).filter(({ dev }) => !dev).map(({ name }) => name)
}

it('Only cookie and content-disposition declare a newer Node than the oldest supported one', () => {
  const declares = ':attr(engines, [node])'
  expect(productionPackages(declares)).toContain('undici')
  expect(productionPackages(`${declares}:not(:semver(${oldest}, ${declares}))`).sort()).toEqual([
    'content-disposition',
    'cookie',
  ])
})
