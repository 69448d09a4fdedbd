const MOST_OF_A_KIND = 5
const isEvent = (report: string) => report.startsWith('{"re')

/** Of reports of attempts the last five, and of events. */
export const keptReports = (reports: readonly string[]): string[] =>
  reports.filter((report, i) => {
    const later = reports.slice(i + 1).filter((each) => isEvent(each) === isEvent(report))
    return later.length < MOST_OF_A_KIND
  })
