import { inject } from 'vitest'
import { CLAIMS } from '../../contract/all-claims.ts'

for (const describeContract of CLAIMS) describeContract('one Redis', () => inject('redisUrl'), 0)
