import { randomBytes } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { parseWebhookSecrets, sign } from '../../../../src/destinations/webhook/secrets.ts'

const secretOf = (bytes: number) => `whsec_${randomBytes(bytes).toString('base64')}`

function messageOf(text: string): string {
  try {
    parseWebhookSecrets(text)
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  throw new Error('it was taken')
}

describe('WEBHOOK_SECRETS', () => {
  it('holds none when it is empty', () => {
    expect(parseWebhookSecrets('')).toEqual([])
  })

  it.each([24, 25, 26, 32, 64])('takes a secret of %i bytes', (bytes) => {
    const secret = secretOf(bytes)
    expect(parseWebhookSecrets(secret)).toEqual([Buffer.from(secret.slice(6), 'base64')])
  })

  it('takes several, in order, with blanks around them', () => {
    const [one, two] = [secretOf(24), secretOf(64)]
    expect(parseWebhookSecrets(` ${one} , ${two} `)).toEqual([
      Buffer.from(one.slice(6), 'base64'),
      Buffer.from(two.slice(6), 'base64'),
    ])
  })

  it.each([
    ['one byte too short', secretOf(23), 'entry 1 holds 23 bytes'],
    ['one byte too long', secretOf(65), 'entry 1 holds 65 bytes'],
    ['without its prefix', randomBytes(24).toString('base64'), 'entry 1 does not begin with whsec_'],
    ['nothing after a comma', `${secretOf(24)},`, 'entry 2 does not begin with whsec_'],
    ['text that is not base64', `whsec_${'?'.repeat(32)}`, 'entry 1 is not base64 after whsec_'],
    ['base64 of the URL alphabet', `whsec_${'-_'.repeat(16)}`, 'entry 1 is not base64 after whsec_'],
    ['base64 without its padding', secretOf(25).replace(/=+$/, ''), 'entry 1 is not base64 after whsec_'],
  ])('refuses %s, without a word of the secret', (_what, text, expected) => {
    expect(messageOf(text)).toBe(expected)
  })

  it('refuses the same secret twice', () => {
    const secret = secretOf(24)
    expect(messageOf(`${secretOf(24)},${secret},${secret}`)).toBe('entries 2 and 3 are the same')
  })
})

describe('a signature', () => {
  it.each(['{"text":"grüße 🔔"}', ''])('is what standardwebhooks verifies, for each secret: %s', (body) => {
    const texts = [secretOf(24), secretOf(64)]
    const seconds = Math.floor(Date.now() / 1_000)
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(seconds),
      'webhook-signature': sign(parseWebhookSecrets(texts.join(',')), 'msg_1', seconds, body),
    }
    for (const text of texts) new Webhook(text).verify(body, headers)
    expect(() => new Webhook(secretOf(24)).verify(body, headers)).toThrow('No matching signature')
    expect(() => new Webhook(texts[0] ?? '').verify(`${body} `, headers)).toThrow('No matching signature')
  })
})
