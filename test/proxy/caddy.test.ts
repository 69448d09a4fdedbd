import { it } from 'vitest'
import { expectToWorkBehind } from './behind.ts'

it("works behind Caddy, set up as the README's example", () =>
  expectToWorkBehind(
    'caddy',
    (_folder, file) => ['run', '--adapter', 'caddyfile', '--config', file],
    (example) => `{\n  admin off\n}\n${example}`,
  ))
