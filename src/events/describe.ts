import type { Delivery, Outcome } from '../destinations/delivery.ts'
import { laneOf } from '../destinations/registry.ts'
import type { Destination, StoredMessage } from '../domain/message.ts'
import { decodeRecord } from '../records/record.ts'
import { toIso } from '../runtime/iso-time.ts'
import type { EventData } from './sink.ts'

/** What filters know a destination by. */
export const nameOfLane = (lane: string): string => (lane === '' ? 'console' : lane)

/** What each event of a message tells. */
export function aboutMessage(id: string, { dueAt, lane, tags = [] }: AboutStored): EventData {
  return { id, at: toIso(dueAt), destination: nameOfLane(lane), tags }
}
type AboutStored = Pick<StoredMessage, 'dueAt' | 'lane' | 'tags'>

/**
 * The same of a record, whose payload may be left out.
 *
 * @returns undefined for one that cannot be read
 */
export function readHead(record: string): StoredMessage | undefined {
  try {
    return decodeRecord(record.includes('\n') ? record : `${record}\n`, 'optional')
  } catch {
    return undefined
  }
}

/** What an event of a delivery tells; its lane is empty also for a webhook in whose URL the scripts find no host. */
export function aboutDelivery(delivery: AboutDelivery): EventData {
  const { id, dueAt, lateMs, attempt, claim, destination, lane, tags = [] } = delivery
  return {
    id,
    at: toIso(dueAt),
    destination: nameOfLane(lane === '' ? laneOf(destination as Destination) : lane),
    tags,
    lateMs: Math.max(0, lateMs),
    attempt,
    claim,
  }
}
type AboutDelivery = Pick<
  Delivery,
  'id' | 'dueAt' | 'lateMs' | 'attempt' | 'claim' | 'destination' | 'lane' | 'tags'
>

/** What the end of a delivery adds. @param now epoch ms */
export function aboutOutcome(outcome: Outcome, now: number): EventData {
  const { status, durationMs }: { status?: number; durationMs?: number } =
    'report' in outcome ? outcome.report : outcome.kind === 'delivered' ? outcome : {}
  return {
    finishedAt: toIso(now),
    ...('reason' in outcome ? { reason: outcome.reason } : {}),
    ...(status === undefined ? {} : { status }),
    ...(durationMs === undefined ? {} : { durationMs }),
  }
}
