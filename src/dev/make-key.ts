import { makeApiKey, parseApiKeys } from '../http/plugins/api-keys.ts'

const USAGE = `usage: npm run key -- NAME SCOPES
  NAME    identifies the key: 1 to 64 of A-Z a-z 0-9 . _ -
  SCOPES  any of read, browse, write, pull and pull:QUEUE, joined by +, as read+write or
          pull:orders+pull:mails
`

/** Makes a key and prints both halves; neither is kept here. */
function run([name, scopes, ...more]: readonly string[]): number {
  if (name === undefined || scopes === undefined || more.length > 0) return refuse()
  const { key, entry } = makeApiKey(name, scopes)
  try {
    parseApiKeys(entry)
  } catch {
    return refuse()
  }
  process.stdout.write(`The key, for the client. It is not shown again:
  ${key}
The client sends it as a header:
  Authorization: Bearer ${key}
The entry for the servers' API_KEYS, separated by a comma from others there:
  ${entry}
`)
  return 0
}

function refuse(): number {
  process.stderr.write(USAGE)
  return 1
}

process.exitCode = run(process.argv.slice(2))
