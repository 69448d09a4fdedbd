import type { Metrics } from '../observability/metrics.ts'
import type { TrafficRecorder } from './recorder.ts'

/** Has what the rooms report of deliveries counted by lane, too. */
export const countByLane = (metrics: Omit<Metrics, 'ended'>, traffic: TrafficRecorder): Metrics => ({
  ...metrics,
  deliveryStarted(type, lateMs, lane) {
    metrics.deliveryStarted(type, lateMs, lane)
    traffic.started(lane, lateMs)
  },
  delivered(type, count, lane) {
    metrics.delivered(type, count, lane)
    traffic.delivered(lane, count)
  },
  failed(type, then, lane, reason) {
    metrics.failed(type, then, lane, reason)
    traffic.failed(lane, then, reason)
  },
  ended(lane, how) {
    traffic.ended(lane, how)
  },
})
