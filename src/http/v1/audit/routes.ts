import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { toIso } from '../../../runtime/iso-time.ts'
import { answer, route } from '../../openapi/route.ts'
import type { ApiDeps } from '../deps.ts'
import { AuditReply } from './schemas.ts'

const AUDIT = route({
  operationId: 'listActs',
  tag: 'operations',
  summary: 'List who did what',
  description:
    'The last 1000 times that messages were cancelled, changed, moved, copied, redriven or deleted, deliveries ' +
    'paused or resumed, and operations begun or stopped. For people to look at: the last acts before a crash of a ' +
    'server may be missing.',
  response: { 200: answer('the acts', AuditReply) },
})

/** Tells who did what. */
export const auditRoutes: FastifyPluginAsyncTypebox<Pick<ApiDeps, 'actLog'>> = async (app, { actLog }) => {
  app.get('/audit', { schema: AUDIT }, async () => ({
    audit: (await actLog.list()).map(({ at, note = null, ...act }) => ({ ...act, at: toIso(at), note })),
  }))
}
