import fp from 'fastify-plugin'
import { toIso } from '../../runtime/iso-time.ts'

/** Every reply tells what the test clock shows. @param options.now epoch ms */
export const testClockHeader = fp<{ now: () => number }>(
  async (app, { now }) => {
    app.addHook('onSend', async (_request, reply) => {
      reply.header('carillon-test-clock', toIso(now()))
    })
  },
  { name: 'test-clock-header' },
)
