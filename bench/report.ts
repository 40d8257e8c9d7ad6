/** What was measured against what it may be: one row a budget, as a table or as JSON. */

export interface Row {
  readonly what: string
  readonly server: string
  readonly value: number
  readonly unit: string
  /** To what `than` says, when there is one. */
  readonly ratio?: number
  readonly than?: string
  /** A row without one only informs. */
  readonly budget?: Budget
}

/** Of the ratio where a row has one, else of the value. */
export interface Budget {
  readonly atMost?: number
  readonly atLeast?: number
}

export function met({ budget, ratio, value }: Row): boolean | undefined {
  if (!budget) return undefined
  const judged = ratio ?? value
  return judged <= (budget.atMost ?? Infinity) && judged >= (budget.atLeast ?? -Infinity)
}

export function toJson(rows: readonly Row[], about: Readonly<Record<string, string>>): string {
  return JSON.stringify({ about, rows: rows.map((row) => ({ ...row, met: met(row) })) }, null, 2)
}

export function toTable(rows: readonly Row[], about: Readonly<Record<string, string>>): string {
  const head = ['what', 'server', 'value', 'ratio', 'to', 'budget', '']
  const cells = [head, ...rows.map(cellsOf)]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const notes = Object.entries(about).map(([key, value]) => `${key}: ${value}`)
  return [...lines, '', ...notes].join('\n')
}

function cellsOf(row: Row): string[] {
  const { what, server, value, unit, ratio, than = '', budget } = row
  return [
    what,
    server,
    `${short(value)} ${unit}`,
    ratio === undefined ? '' : short(ratio),
    than,
    budget ? wordsOf(budget) : '',
    { true: 'met', false: 'MISSED', undefined: '' }[String(met(row))] ?? '',
  ]
}

function wordsOf({ atMost, atLeast }: Budget): string {
  return atMost === undefined ? `>= ${atLeast ?? 0}` : `<= ${atMost}`
}

function short(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)
}
