// @ts-check
// Clients of GET /v1/events, in a process of their own. They count what they are told, and note what is wrong with it.
//
//   { url, clients }   opens so many streams, with every detail; answers once all are open
//   { delivered }      answers Told once each of them was told of so many deliveries, and forgets it all

import { get } from 'node:http'

/**
 * @typedef {object} Told by the client that was told least
 * @property {number} messages whose delivery every client was told of
 * @property {number} gaps of all clients
 * @property {number} outOfOrder events of all clients that came before one that they follow
 */

const ORDER = ['scheduled', 'claimed', 'delivered']

/** @typedef {{ stages: Map<string, number>, delivered: number, gaps: number, outOfOrder: number }} Client */
/** @type {Client[]} */
const clients = []
let expected = Number.POSITIVE_INFINITY

/** @param {Client} client @param {string} block */
function take(client, block) {
  const event = /^event: (\w+)$/m.exec(block)?.[1]
  if (event === 'gap') client.gaps += 1
  const stage = ORDER.indexOf(event ?? '')
  const id = /^data: \{"id":"([^"]+)"/m.exec(block)?.[1]
  if (stage === -1 || id === undefined) return
  if (stage !== (client.stages.get(id) ?? 0)) client.outOfOrder += 1
  client.stages.set(id, stage + 1)
  if (event === 'delivered') client.delivered += 1
}

function tellIfDone() {
  if (clients.some(({ delivered }) => delivered < expected)) return
  const sum = (/** @type {(client: Client) => number} */ of) =>
    clients.reduce((all, client) => all + of(client), 0)
  expected = Number.POSITIVE_INFINITY
  process.send?.({
    messages: Math.min(...clients.map(({ stages }) => stages.size)),
    gaps: sum(({ gaps }) => gaps),
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
  })
  for (const client of clients) {
    client.stages.clear()
    client.delivered = 0
  }
}

/** @param {string} url */
function open(url) {
  const client = { stages: new Map(), delivered: 0, gaps: 0, outOfOrder: 0 }
  clients.push(client)
  return new Promise((resolve) => {
    get(`${url}/v1/events?detail=all`, { agent: false }, (response) => {
      let rest = ''
      response.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
        const blocks = (rest + text).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks) take(client, block)
        resolve(undefined)
        tellIfDone()
      })
    })
  })
}

process.on(
  'message',
  async (/** @type {{ url?: string, clients?: number, delivered?: number }} */ request) => {
    if (request.url !== undefined) {
      const { url } = request
      await Promise.all(Array.from({ length: request.clients ?? 1 }, () => open(url)))
      process.send?.({})
      return
    }
    expected = request.delivered ?? 0
    tellIfDone()
  },
)
