import fp from 'fastify-plugin'

/** Every reply tells what the test clock shows. @param options.now epoch ms */
export const testClockHeader = fp<{ now: () => number }>(
  async (app, { now }) => {
    app.addHook('onSend', async (_request, reply) => {
      reply.header('carillon-test-clock', new Date(now()).toISOString())
    })
  },
  { name: 'test-clock-header' },
)
