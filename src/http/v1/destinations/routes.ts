import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { LANE_FORMS, laneName, laneOfName, readLane } from '../../../destinations/lanes.ts'
import type { Pause } from '../../../pauses/pause.ts'
import { toIso } from '../../../runtime/iso-time.ts'
import type { DestinationReport } from '../../../traffic/destinations.ts'
import type { LaneTraffic } from '../../../traffic/lane-traffic.ts'
import { latenessOf } from '../../../traffic/lateness.ts'
import { BAD_QUERY } from '../../openapi/failures.ts'
import { answer, route } from '../../openapi/route.ts'
import { InvalidRequestError } from '../../validation/validation.ts'
import type { ApiDeps } from '../deps.ts'
import { DestinationReply, DestinationsQuery, DestinationsReply, LaneParams } from './schemas.ts'

const WHAT =
  'Counts and percentiles are of the last hour, over all servers; what other servers have delivered may be missing ' +
  'for 10 s. Percentiles are right to within 5 %.'

const LIST = route({
  operationId: 'listDestinations',
  tag: 'overview',
  summary: 'List destinations, with what waits and what was delivered',
  description: `With \`lane\`, the answer is that of \`GET /v1/destinations/{lane}\`. ${WHAT}`,
  querystring: DestinationsQuery,
  response: {
    200: answer(
      'the destinations, or the one that lane names',
      Type.Union([DestinationsReply, DestinationReply], {
        description: 'the destinations, or the one that lane names',
        examples: [DestinationsReply.examples[0]],
      }),
    ),
  },
  fails: [BAD_QUERY],
})

const GET = route({
  operationId: 'getDestination',
  tag: 'overview',
  summary: 'Get what waits for a destination and what was delivered',
  description: `The lane is one percent-encoded segment. ${WHAT}`,
  params: LaneParams,
  response: { 200: answer('the destination', DestinationReply) },
  fails: [{ status: 400, description: 'the lane is none', detail: `lane: must be ${LANE_FORMS}` }],
})

/** What waits for each destination, and how deliveries to it went. */
export const destinationRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'destinations' | 'pauses'>> = async (
  app,
  { destinations, pauses },
) => {
  const headOf = (report: DestinationReport) => ({
    ...figuresOf(report),
    paused: toPaused(pauses.pausedBy(report.lane, [])),
  })
  const one = async (lane: string) => {
    const report = await destinations.one(laneOf(lane))
    const minutes = report.minutes.map(({ at, traffic }) => ({
      at: toIso(at),
      ...countsOf(traffic),
      ...measuresOf(traffic),
    }))
    return { ...headOf(report), minutes }
  }

  app.get('/destinations', { schema: LIST }, async ({ query: { lane } }) => {
    if (lane !== undefined) return one(lane)
    const all = await destinations.all()
    return {
      destinations: all.map((report) => ({
        ...headOf(report),
        minutes: report.minutes.map(({ at, traffic }) => ({ at: toIso(at), ...countsOf(traffic) })),
      })),
    }
  })

  app.get('/destinations/:lane', { schema: GET }, async ({ params: { lane } }) => one(lane))
}

function laneOf(text: string): string {
  const lane = readLane(text)
  if (lane === undefined) throw new InvalidRequestError([{ path: '/lane', message: `must be ${LANE_FORMS}` }])
  return laneOfName(lane)
}

function toPaused(pause: Pause | undefined) {
  if (pause === undefined) return null
  const { target, note, by, at, until } = pause
  return { target, note, by, at: toIso(at), until: until === null ? null : toIso(until) }
}

const figuresOf = ({ lane, waiting, due, inFlight, concurrency, hour }: DestinationReport) => ({
  ...{ lane: laneName(lane), waiting, due, inFlight, limits: { concurrency } },
  ...countsOf(hour),
  ...measuresOf(hour),
  lastError: hour.lastError === null ? null : { ...hour.lastError, at: toIso(hour.lastError.at) },
})

const countsOf = ({ delivered, failed }: LaneTraffic) => ({ delivered, failed })

function measuresOf({ retried, dead, codes, took, late }: LaneTraffic) {
  const { count: _, ...lateMs } = latenessOf(late)
  return {
    ...{ retried, dead, codes: Object.fromEntries(codes), lateMs },
    durationMs: { p50: took.quantile(0.5), p99: took.quantile(0.99) },
  }
}
