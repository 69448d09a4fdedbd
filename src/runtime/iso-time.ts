/** A time as answers, events and texts have it. @param ms epoch ms */
export const toIso = (ms: number): string => new Date(ms).toISOString()
