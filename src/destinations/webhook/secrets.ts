import { createHmac } from 'node:crypto'

export const WEBHOOK_SECRETS_FORM = 'whsec_ and the base64 text of 24 to 64 bytes, comma-separated'

const PREFIX = 'whsec_'
const FEWEST_BYTES = 24
const MOST_BYTES = 64

/**
 * Reads the setting WEBHOOK_SECRETS; empty text holds none.
 *
 * @throws Error that says which entry is wrong by its position only, as a secret has no place in a log
 */
export function parseWebhookSecrets(text: string): readonly Buffer[] {
  if (text === '') return []
  const secrets = text.split(',').map((entry, i) => parseEntry(entry.trim(), `entry ${i + 1}`))
  for (const [i, secret] of secrets.entries()) {
    const same = secrets.findIndex((other) => other.equals(secret))
    if (same < i) throw new Error(`entries ${same + 1} and ${i + 1} are the same`)
  }
  return secrets
}

function parseEntry(entry: string, which: string): Buffer {
  if (!entry.startsWith(PREFIX)) throw new Error(`${which} does not begin with ${PREFIX}`)
  const base64 = entry.slice(PREFIX.length)
  const secret = Buffer.from(base64, 'base64')
  // Buffer skips what is not base64; a receiver may not, and would hold another secret than we do.
  if (secret.toString('base64') !== base64) throw new Error(`${which} is not base64 after ${PREFIX}`)
  if (secret.length < FEWEST_BYTES || secret.length > MOST_BYTES) {
    throw new Error(`${which} holds ${secret.length} bytes`)
  }
  return secret
}

/**
 * Signs as Standard Webhooks has it: HMAC-SHA256 over id, timestamp and body.
 *
 * @param body '' for none
 * @returns the value of `webhook-signature`: one signature per secret, separated by spaces
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function sign(secrets: readonly Buffer[], id: string, timestampSeconds: number, body: string): string {
  const signed = `${id}.${timestampSeconds}.${body}`
  return secrets
    .map((secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`)
    .join(' ')
}
