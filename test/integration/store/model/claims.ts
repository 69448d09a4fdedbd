import { expect } from 'vitest'
import type { Release } from '../../../../src/store/scripts/settle.ts'
import { type ClaimRoom, claimAll } from '../../../support/claim-all.ts'
import type { Of } from './operations.ts'
import { ALL_IDS, LOCK_MS, QUARTER, STEP } from './operations.ts'
import { content, toStored } from './stored.ts'
import type { Trial } from './trial.ts'

export async function claim(trial: Trial, room: ClaimRoom): Promise<void> {
  const token = `t${trial.claims.length}`
  const reply = await claimAll(trial.w.scripts, trial.shard, { token, lockMs: LOCK_MS, room })
  await trial.learn(reply.now)
  const { claimed, ...rest } = trial.model.claim(token, LOCK_MS, room, reply.now)
  expect(reply.claims.map(({ id }) => id)).toEqual(claimed)
  expect(reply).toMatchObject(rest)
  for (const { id, attemptDueAt, record, failures, recoveries, number } of reply.claims) {
    const message = trial.model.messages.get(id)
    expect({ attemptDueAt, failures, recoveries, number }).toEqual({
      attemptDueAt: message?.attemptDueAt,
      failures: message?.failures,
      recoveries: message?.recoveries,
      number: message?.claim,
    })
    expect(toStored(record)).toEqual(content(message))
  }
  if (claimed.length > 0) trial.claims.unshift({ token, ids: claimed })
  const { moved, heldBack, recovered, dropped, died, trimmed } = rest
  const lengths = { moved: moved.length, asides: trial.model.pauses.asides.size }
  const counts = { recovered, dropped, died, trimmed, heldBack: Number(heldBack), ...lengths }
  for (const [what, count] of Object.entries({ claimed: claimed.length, ...counts })) {
    if (count > 0) trial.note(what)
  }
}

export async function acknowledge(trial: Trial, operation: Of<'acknowledge'>): Promise<void> {
  const { token, ids } = pick(trial, operation)
  const delivered = ids.map((id, i) => ({ id, token, lateMs: i * 7 }))
  const lost = await trial.w.scripts.acknowledge(trial.shard, delivered)
  const owned = delivered.filter((each) => trial.model.owns(each))
  // Nothing finished later; where what finished in the same ms has filled the history, that tells the time.
  const { delivered: newest, dropped } = trial.keys
  const last = await Promise.all(
    [newest, dropped].map((key) => trial.w.client.zrange(key, '-1', '-1', 'WITHSCORES')),
  )
  const at = Math.max(...last.map(([, score]) => Number(score ?? 0)))
  const now = await trial.learn(owned.length === 0 ? null : at)
  expect(lost).toEqual(trial.model.acknowledge(delivered, now))
  trial.note(owned.length > 0 ? 'acknowledged' : 'lost')
}

export async function extend(trial: Trial, operation: Of<'extend'>): Promise<void> {
  const { token, ids } = pick(trial, operation)
  const held = ids.map((id) => ({ id, token }))
  const lost = await trial.w.scripts.extend(trial.shard, { held, lockMs: LOCK_MS })
  const owned = held.filter((each) => trial.model.owns(each))
  const ends = owned[0] && (await trial.w.client.zscore(trial.keys.claimed, owned[0].id))
  const now = await trial.learn(ends ? Number(ends) - LOCK_MS : null)
  expect(lost).toEqual(trial.model.extend(held, LOCK_MS, now))
  trial.note(owned.length > 0 ? 'extended' : 'lost')
}

export async function release(trial: Trial, operation: Of<'release'>): Promise<void> {
  const { token, ids } = pick(trial, operation)
  const laterMs = operation.steps * STEP + QUARTER
  const releases = ids.map((id, i): Release => {
    const why = operation.kinds[i % operation.kinds.length] ?? 'failed'
    const said = { id, token, reason: `no ${i}`, report: i % 2 === 0 ? `{"at":${i}}` : '' }
    if (why === 'failed') return { ...said, why, retryAfterMs: operation.steps === 0 ? 0 : laterMs }
    if (why === 'postponed') return { ...said, why, delayMs: laterMs }
    if (why === 'rejected') return { ...said, why }
    if (why === 'deferred') return { id, token, why, delayMs: laterMs }
    return { id, token, why, dueAt: trial.model.messages.get(id)?.attemptDueAt ?? 0 }
  })
  const owned = releases.filter((each) => trial.model.owns(each))
  const waiting = owned.find((each) => trial.model.waitOf(each) !== null)
  const reply = await trial.w.scripts.release(trial.shard, releases)
  // The time is told by when one is due again, or by when the last was given up: the bound leaves that one.
  let clock: number | null = null
  if (waiting !== undefined) {
    const [found] = await trial.w.scripts.find(trial.shard, [waiting.id])
    clock = (found?.score ?? 0) - (trial.model.waitOf(waiting) ?? 0)
  } else if (reply.words.includes('dead')) {
    const [, last] = await trial.w.client.zrange(trial.keys.dead, '-1', '-1', 'WITHSCORES')
    clock = Number(last)
  }
  expect(reply).toMatchObject(trial.model.release(releases, await trial.learn(clock)))
  if (reply.trimmed > 0) trial.note('trimmed')
  for (const [i, word] of reply.words.entries()) trial.note(`${releases[i]?.why} ${word}`)
}

function pick(trial: Trial, { held, claim, mask }: { held: boolean; claim: number; mask: number }) {
  const holds = ({ token, ids }: { token: string; ids: string[] }) =>
    !held || ids.some((id) => trial.model.owns({ id, token }))
  const { token, ids } = trial.claims.filter(holds)[claim] ??
    trial.claims.find(holds) ?? { token: 'nobody', ids: ALL_IDS }
  return { token, ids: ids.filter((_, i) => (mask >> (i % 8)) & 1) }
}
