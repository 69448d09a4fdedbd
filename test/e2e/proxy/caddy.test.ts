import { it } from 'vitest'
import { expectToWorkBehind } from './behind.ts'

it("works behind Caddy, set up as the docs' example", () =>
  expectToWorkBehind(
    'caddy',
    (_folder, file) => ['run', '--adapter', 'caddyfile', '--config', file],
    (example) => `{\n  admin off\n}\n${example}`,
  ))
