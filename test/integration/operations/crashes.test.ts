import fc from 'fast-check'
import { describe, expect, inject, it } from 'vitest'
import { laneName } from '../../../src/destinations/lanes.ts'
import { laneOf } from '../../../src/destinations/registry.ts'
import type { Destination } from '../../../src/domain/message.ts'
import { countMatches } from '../../../src/messages/count.ts'
import type { Filter } from '../../../src/messages/filter.ts'
import { createMatches } from '../../../src/messages/matches.ts'
import { createOperations } from '../../../src/operations/operations.ts'
import type { OperationRequest } from '../../../src/operations/request.ts'
import { createOperationRunner } from '../../../src/operations/runner.ts'
import { createTakeStep } from '../../../src/operations/steps.ts'
import { keysOf } from '../../../src/store/keys.ts'
import type { Scripts } from '../../../src/store/scripts/scripts.ts'
import { put, reject } from '../../support/acts.ts'
import { workerRoom } from '../../support/claim-all.ts'
import { checkKeys } from '../../support/invariants.ts'
import { recordOf, scoreOf, stateOf } from '../../support/look-ups.ts'
import { noteMetrics } from '../../support/noted-metrics.ts'
import { clearNamespace } from '../../support/redis.ts'
import { type ScriptWorld, useScripts } from '../../support/script-world.ts'
import { until } from '../../support/until.ts'
import { HOUR_MS } from '../../support/values.ts'

const SHARDS = 2
/** So few at a time that a dozen messages are several steps. */
const AT_ONCE = 3
const PAST_LEASE_MS = 10_000
const shardOf = (id: string) => Number(id.slice(1)) % SHARDS || 0

const DESTINATIONS: readonly Destination[] = [
  { type: 'console' },
  { type: 'webhook', url: 'http://a.test/' },
  { type: 'pull', queue: 'q' },
  { type: 'stream', name: 's' },
]

const anyMessage = fc.record({
  step: fc.nat(5),
  tag: fc.constantFrom('a', 'b', undefined),
  destination: fc.constantFrom(...DESTINATIONS),
  isDead: fc.boolean(),
})
type Draft = typeof anyMessage extends fc.Arbitrary<infer D> ? D : never
type Message = Draft & { readonly id: string; readonly dueAt: number; readonly isWanted: boolean }

const anyFilter = fc.constantFrom<Filter>(
  {},
  { tag: 'a' },
  { destination: 'console' },
  { destination: 'pull:q' },
  { tag: 'b', destination: 'webhook:http://a.test' },
  { idPrefix: 'm1' },
  { ids: ['m0', 'm1', 'm2', 'm5', 'm7', 'm11', 'none'] },
)

const anyRequest = fc
  .tuple(
    fc.constantFrom<Pick<OperationRequest, 'action' | 'byMs'>>(
      { action: 'cancel' },
      { action: 'shift', byMs: 1_500 },
      { action: 'shift', byMs: -1_500 },
      { action: 'shift', byMs: 0 },
      { action: 'deliver' },
      { action: 'redrive' },
      { action: 'delete' },
    ),
    anyFilter,
  )
  .map(([act, filter]): OperationRequest => {
    const isOfDead = act.action === 'redrive' || act.action === 'delete'
    return { ...act, filter: { ...filter, status: isOfDead ? 'dead' : 'scheduled' } }
  })

/** After how many calls a server dies, whether Redis runs the next one, and whether it only hangs for a while. */
const anyDeath = fc.record({ afterCalls: fc.nat(14), runs: fc.boolean(), awakes: fc.boolean() })
type Death = typeof anyDeath extends fc.Arbitrary<infer D> ? D : never

/** Scripts as a server calls them that dies, or hangs. */
function mortal(scripts: Scripts, { afterCalls, runs }: Death) {
  let calls = 0
  let awake: () => void = () => undefined
  const awoken = new Promise<void>((resolve) => {
    awake = resolve
  })
  const wrap =
    (call: (...args: unknown[]) => Promise<unknown>) =>
    async (...args: unknown[]) => {
      calls += 1
      if (calls <= afterCalls) return call(...args)
      const ran = runs && calls === afterCalls + 1 ? await call(...args) : undefined
      await awoken
      return ran ?? call(...args)
    }
  const wrapped = Object.entries(scripts).map(([name, call]) => [
    ...[name, typeof call === 'function' ? wrap(call as never) : call],
  ])
  return {
    scripts: Object.fromEntries(wrapped) as Scripts, // the same methods
    isDead: () => calls > afterCalls,
    awake: () => awake(),
  }
}

const world = useScripts(() => inject('redisUrl'))

/** Where messages of a shard are. */
const inShard = (w: ScriptWorld, shard: number): ScriptWorld => ({
  ...w,
  shard,
  keys: keysOf(shard, w.namespace),
})

/** Stores the dead first: they have to fall due, and are as late as can be. */
async function store(w: ScriptWorld, drafts: readonly Draft[], filter: Filter): Promise<Message[]> {
  const base = (await w.now()) + HOUR_MS
  const messages = drafts.map((draft, i): Message => {
    // What is due for a stream is moved into it.
    const isDead = draft.isDead && draft.destination.type !== 'stream'
    const message = { ...draft, isDead, id: `m${i}`, dueAt: isDead ? 1 : base + 1_000 * draft.step }
    return { ...message, isWanted: isMatch(message, filter) }
  })
  for (const { id, dueAt, destination, tag } of [...messages].sort((a, b) => a.dueAt - b.dueAt)) {
    const at = inShard(w, shardOf(id))
    await put(at, id, {
      due: { at: dueAt },
      options: { destination, ...(tag === undefined ? {} : { tags: [tag] }) },
    })
  }
  for (let shard = 0; shard < SHARDS; shard += 1) {
    const at = inShard(w, shard)
    await reject(at, 'no', { streamLimit: 0 })
    await reject(at, 'no', workerRoom('q'))
  }
  return messages
}

function isMatch({ id, tag, destination, isDead }: Omit<Message, 'isWanted'>, filter: Filter): boolean {
  return (
    isDead === (filter.status === 'dead') &&
    (filter.tag === undefined || filter.tag === tag) &&
    (filter.destination === undefined || filter.destination === laneName(laneOf(destination))) &&
    (filter.idPrefix === undefined || id.startsWith(filter.idPrefix)) &&
    (filter.ids === undefined || filter.ids.includes(id))
  )
}

/** A server that does nothing until it is started. */
function serverOf(w: ScriptWorld, owner: string, scripts: Scripts) {
  const now = () => Date.now() + w.clockOffsetMs()
  const searching = { scripts, shardMap: { all: SHARDS, shardsOf: (id: string) => [shardOf(id)] }, now }
  const whole = createMatches(searching)
  const matches: typeof whole = {
    ...whole,
    page: (shard, filter, args) =>
      whole.page(shard, filter, { ...args, limit: Math.min(AT_ONCE, args.limit) }),
  }
  const { metrics } = noteMetrics()
  const runner = createOperationRunner({
    ...{ scripts, matches, metrics, owner, onEnded: () => undefined },
    takeStep: createTakeStep({ scripts, onNextDue: () => undefined, now }),
  })
  const operations = createOperations({
    ...{ scripts, metrics, owner, shards: () => SHARDS, onChange: () => undefined, encode: () => [] },
    runner: { run: () => undefined },
    count: (filter) => countMatches({ ...searching, matches }, filter),
    listPage: () => Promise.reject(new Error('is not asked for')),
  })
  return { runner, operations }
}

async function expectDone(
  w: ScriptWorld,
  message: Message,
  { action, byMs = 0 }: OperationRequest,
): Promise<void> {
  const { id, dueAt, isWanted, isDead } = message
  const at = inShard(w, shardOf(id))
  if (isWanted && (action === 'cancel' || action === 'delete')) {
    expect(await stateOf(at, id), id).toBe('cancelled')
    return
  }
  const isMoved = isWanted && (action === 'shift' || action === 'deliver')
  expect(await stateOf(at, id), id).toBe(isDead && !isWanted ? 'dead' : 'scheduled')
  expect((await recordOf(at, id)).version, id).toBe(isMoved ? 2 : 1)
  if (isDead) return
  const score = await scoreOf(at, id)
  if (isMoved && action === 'deliver') expect(score, id).toBeLessThanOrEqual(await w.now())
  else expect(score, id).toBe(dueAt + (isMoved ? byMs : 0))
}

describe('an operation whose servers die or hang between any two calls', () => {
  it('does each message that matched once, and no other', async () => {
    const w = world()
    const seen = { dead: 0, matched: 0 }
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyMessage, { minLength: 1, maxLength: 24, size: 'max' }),
        anyRequest,
        fc.array(anyDeath, { maxLength: 4 }),
        async (drafts, request, deaths) => {
          await clearNamespace(w.client, w.namespace)
          const messages = await store(w, drafts, request.filter)
          // Recorded by a server that dies before it does anything.
          const { operations } = serverOf(w, 'none', w.scripts)
          const { id } = await operations.begin({ request, by: null })
          const isOver = async () => (await operations.find(id)).state !== 'running'
          const hanging: { awakes: boolean; awake(): void; stop(): Promise<void> }[] = []
          for (const [i, death] of deaths.entries()) {
            w.pass(PAST_LEASE_MS)
            const { scripts, isDead, awake } = mortal(w.scripts, death)
            const { runner } = serverOf(w, `mortal ${i}`, scripts)
            runner.start()
            hanging.push({ awakes: death.awakes, awake, stop: () => runner.stop() })
            await until('it dies, or the operation is done', async () => isDead() || (await isOver()))
            if (isDead()) seen.dead += 1
          }
          w.pass(PAST_LEASE_MS)
          const { runner } = serverOf(w, 'last', w.scripts)
          runner.start()
          for (const { awakes, awake } of hanging) if (awakes) awake()
          await until('the operation is done', isOver)
          for (const { awake } of hanging) awake()
          await Promise.all([runner.stop(), ...hanging.map(({ stop }) => stop())])

          const matched = messages.filter(({ isWanted }) => isWanted).length
          seen.matched += matched
          expect(await operations.find(id)).toMatchObject({
            state: 'done',
            matched,
            done: matched,
            failed: 0,
          })
          for (const message of messages) await expectDone(w, message, request)
          await checkKeys(w, 0)
        },
      ),
      { numRuns: 30, interruptAfterTimeLimit: 20_000 },
    )
    expect(seen.dead).toBeGreaterThan(0)
    expect(seen.matched).toBeGreaterThan(0)
  })
})
