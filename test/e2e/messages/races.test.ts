import { once } from 'node:events'
import { expect, inject, it, onTestFinished } from 'vitest'
import { connect } from '../../../src/store/connect.ts'
import { keysOf, wakeChannelOf } from '../../../src/store/keys.ts'
import { parseRedisUrl } from '../../../src/store/redis-url.ts'
import { createScripts, type Scripts } from '../../../src/store/scripts/scripts.ts'
import { startChild } from '../../support/children.ts'
import { repeated, startFleet } from '../../support/fleet.ts'
import { SETTINGS } from '../../support/retention.ts'
import { slowestOf } from '../../support/speed.ts'
import { until } from '../../support/until.ts'

/** What one changer was answered. */
interface Answer {
  readonly id: string
  readonly word: string
  /** only of a rescheduled message */
  readonly version?: number
  readonly dueAt?: number
  readonly payload?: string
}

interface Plan {
  readonly name: string
  /** in due order; the i-th is due at firstDueAt + i * gapMs */
  readonly ids: readonly string[]
  readonly firstDueAt: number
  readonly gapMs: number
  readonly loops: number
  readonly startAt: number
}

/**
 * Cancels and reschedules, from several loops at once, messages that are due just now, some of them for the second
 * time. It is also run in another process, and so uses nothing but what it is given.
 */
async function changeAtRandom(scripts: Scripts, plan: Plan): Promise<Answer[]> {
  const { name, ids, firstDueAt, gapMs, loops, startAt } = plan
  const answers: Answer[] = []
  const endAt = firstDueAt + ids.length * gapMs
  const pick = () => {
    // Around the one that is due now: some a little sooner, some a little later.
    const nowDue = (Date.now() - firstDueAt) / gapMs
    const near = Math.round(nowDue + (Math.random() * 2 - 1) * (20 / gapMs))
    return ids[Math.max(0, Math.min(ids.length - 1, near))] ?? ''
  }
  const change = async (loop: number) => {
    for (let round = 0; Date.now() < endAt; round += 1) {
      const id = pick()
      if (Math.random() < 0.04) {
        const [word = 'unknown'] = await scripts.cancel(0, {
          ids: [id],
          ifMatch: '',
          states: ['scheduled', 'dead'],
        })
        answers.push({ id, word })
        continue
      }
      const payload = `${name}:${loop}:${round}`
      // Often so soon that it is due while it is still picked.
      const inMs = Math.floor(Math.random() ** 2 * 600)
      const reply = await scripts.reschedule(0, {
        id,
        // Some only what nobody else has changed before.
        ifMatch: Math.random() < 0.3 ? '1' : '',
        changes: { due: { inMs }, payload: JSON.stringify(payload), options: [] },
      })
      if (reply.word !== 'rescheduled') {
        answers.push({ id, word: reply.word })
        continue
      }
      const version = Number(/"v":(\d+)/.exec(reply.found.record)?.[1])
      answers.push({ id, word: reply.word, version, dueAt: reply.found.score ?? 0, payload })
    }
  }
  await new Promise((resolve) => setTimeout(resolve, startAt - Date.now()))
  await Promise.all(Array.from({ length: loops }, (_, loop) => change(loop)))
  return answers
}

/** The same from a process of its own, on the built service's own modules. */
async function changeAtRandomElsewhere(redisUrl: string, namespace: string, plan: Plan): Promise<Answer[]> {
  const code = `
    import { connect } from './dist/store/connect.js'
    import { createScripts } from './dist/store/scripts/scripts.js'
    import { parseRedisUrl } from './dist/store/redis-url.js'
    ${changeAtRandom.toString()}
    const [redisUrl, options, plan] = process.argv.slice(1).map((text) => JSON.parse(text))
    const connection = connect(parseRedisUrl(redisUrl))
    await connection.waitUntilReady(60_000)
    const answers = await changeAtRandom(createScripts(connection.client, options), plan)
    await connection.close()
    process.stdout.write(JSON.stringify(answers))`
  const args = [redisUrl, { ...SETTINGS, namespace }, plan].map((arg) => JSON.stringify(arg))
  const child = startChild(process.execPath, ['--input-type=module', '-e', code, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  await once(child, 'close')
  return JSON.parse(text) as Answer[]
}

it('cancelling and rescheduling while servers claim: what was answered is what happens', async () => {
  const COUNT = 4_000
  const fleet = await startFleet({ size: 2, env: { SHARDS: '1' } })
  const redisUrl = inject('redisUrl')
  const connection = connect(parseRedisUrl(redisUrl))
  onTestFinished(() => connection.close())
  await connection.waitUntilReady(60_000)
  const scripts = createScripts(connection.client, {
    ...SETTINGS,
    namespace: fleet.namespace,
  })

  // As far ahead, and as far apart, as this machine takes to be ready and to change messages around them.
  const changesNothing = { ids: [], firstDueAt: 0, gapMs: 0, loops: 0, startAt: 0, name: 'nobody' }
  const startMs = await slowestOf(() => changeAtRandomElsewhere(redisUrl, fleet.namespace, changesNothing), 1)
  const roundTripMs = await slowestOf(() => scripts.count(0), 10)
  const firstDueAt = Date.now() + 1_500 + 3 * Math.ceil(startMs)
  const gapMs = Math.min(5, Math.ceil(roundTripMs / 4))
  const ids = await fleet.schedule(COUNT, (i) => firstDueAt + i * gapMs)
  const plan = { ids, firstDueAt, gapMs, loops: 4, startAt: firstDueAt - 100 }
  // Only the one on duty would claim what is due now, as long as it keeps up: the other is called to help, again and
  // again, as it forgets the call once it hears of a server that came.
  const help = setInterval(() => connection.client.publish(wakeChannelOf(fleet.namespace), 'help 0'), 50)
  onTestFinished(() => clearInterval(help))
  const answers = (
    await Promise.all([
      changeAtRandom(scripts, { ...plan, name: 'here' }),
      changeAtRandomElsewhere(redisUrl, fleet.namespace, { ...plan, name: 'there' }),
    ])
  ).flat()
  clearInterval(help)

  const of = (word: string) => answers.filter((answer) => answer.word === word)
  const cancelled = new Set(of('cancelled').map(({ id }) => id))
  // Each was cancelled by one only, and no change was answered with a version that another had.
  expect(cancelled.size).toBe(of('cancelled').length)
  const rescheduled = new Map<string, Answer>()
  const versions = new Set<string>()
  for (const answer of of('rescheduled')) {
    versions.add(`${answer.id} ${answer.version}`)
    const before = rescheduled.get(answer.id)
    if ((before?.version ?? 0) < (answer.version ?? 0)) rescheduled.set(answer.id, answer)
  }
  expect(versions.size).toBe(of('rescheduled').length)

  const wanted = ids.filter((id) => !cancelled.has(id))
  await fleet.untilDelivered(wanted)
  const { client } = connection
  const keys = keysOf(0, fleet.namespace)
  await until('nothing is left', async () => (await client.hlen(keys.messages)) === 0)
  expect(await client.exists(keys.scheduled, keys.claimed, keys.attempts)).toBe(0)
  // All that any of them has written, to the last line.
  expect(await Promise.all(fleet.servers.map((server) => server.end()))).toEqual([0, 0])

  const delivered = fleet.delivered()
  expect(repeated(delivered)).toEqual({})
  expect(delivered.map(({ messageId }) => messageId).filter((id) => cancelled.has(id))).toEqual([])
  expect(delivered).toHaveLength(wanted.length)
  const wrong = delivered.filter(({ messageId, msg, dueAt, seenAt, lateMs, attempt }) => {
    const change = rescheduled.get(messageId)
    const i = ids.indexOf(messageId)
    const expected = {
      msg: change?.payload ?? `message ${i}`,
      dueAt: change?.dueAt ?? firstDueAt + i * gapMs,
    }
    return msg !== expected.msg || dueAt !== expected.dueAt || seenAt < dueAt || lateMs < 0 || attempt !== 1
  })
  expect(wrong).toEqual([])

  // The race was one: either side has often won, from either process.
  for (const word of ['cancelled', 'rescheduled', 'finished', 'version', 'claimed']) {
    expect([word, of(word).length >= 20]).toEqual([word, true])
  }
  const senders = new Set(of('rescheduled').map(({ payload }) => payload?.split(':')[0]))
  expect(senders).toEqual(new Set(['here', 'there']))
  for (const server of fleet.servers) expect(server.delivered.length).toBeGreaterThan(0)
})
