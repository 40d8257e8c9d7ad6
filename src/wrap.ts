/** Breaking lines for a terminal, between words alone: what one copies stays whole. Pure. */

/** @returns lines of at most `width` characters; a longer word has one of its own */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ').filter(Boolean)) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > Math.max(width, 30)) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}
