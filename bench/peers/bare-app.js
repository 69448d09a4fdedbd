// @ts-check
// The service without its storage: what it could do at best.

import { listen, nextId } from './app.js'

await listen(async () => nextId())
