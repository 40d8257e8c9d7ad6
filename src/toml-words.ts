/**
 * The parser's words about what is not TOML, where they are frequent: as a sentence with what to write.
 * Pure. A value is never repeated, since it may be a secret that lacks its quotation marks.
 */

/**
 * @param words of smol-toml
 * @param line on which it stopped
 * @param column where, from 1
 * @returns the sentence; the parser's words where there is none
 */
export function inPlainWords(words: string, line: string, column: number): string {
  const [start = '', key = ''] = /^\s*([\w.-]+)\s*=\s*/.exec(line) ?? []
  const isHeader = /^\s*\[/.test(line)
  switch (words) {
    case 'invalid value':
      if (key === '') return words
      if (column <= line.indexOf('=') + 1)
        return 'a list before this line is not closed; write ] after its last value'
      if (line.length <= start.length) return `${key} has no value; write ${key} = "…"`
      return `the value of ${key} is neither a text, a number nor true or false; a text stands in quotation marks: ${key} = "…"`
    case 'illegal leading zero':
      if (key === '') return words
      return `a number does not begin with 0; what is none must be a string in quotes: ${key} = "…"`
    case 'unfinished string':
      return 'a text does not end; write the quotation marks at its end too'
    case 'control characters are not allowed in strings':
      return column > line.length
        ? 'a text does not end on its line; write the quotation mark at its end too'
        : words
    case 'expected comma or end of structure':
      return 'a list or an inline table is not closed before this, or a comma is missing; write , between its values and ] or } at its end'
    case 'expected end of table array declaration':
      return 'the name of a table is not closed; it ends with as many brackets as it begins with, as in [[account]]'
    case 'illegal character in key':
      if (isHeader)
        return 'the name of a table is not closed; it ends with as many brackets as it begins with, as in [[account]]'
      return line.includes('=') ? words : 'this is neither key = value, a [table] nor a # remark'
    case 'trying to redefine an already defined table or value':
      if (key !== '') return `${key} stands in this table already; keep one of the two`
      return isHeader
        ? 'this table is there already; keep one of the two, or write [[…]] where there may be several'
        : words
    default:
      return words
  }
}
