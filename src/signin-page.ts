/**
 * The page that the browser ends at. It is sent when the sign-in is over, and says how it ended.
 *
 * One file, no script, nothing loaded from anywhere.
 */

/** What the page says. */
export interface Outcome {
  readonly ok: boolean
  readonly title: string
  /** What happened; each line is a paragraph. */
  readonly text: string
  /** What to do next; each line is a paragraph. */
  readonly next: string
}

/** @returns a complete HTML document */
export function signInPage({ ok, title, text, next }: Outcome): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} – xoauthd</title>
<style>
:root { --text: #1b1f24; --back: #f6f7f9; --card: #fff; --line: #d5d9de; --mark: ${ok ? '#176b34' : '#a3241c'} }
@media (prefers-color-scheme: dark) {
  :root { --text: #e7e9ec; --back: #15181c; --card: #1f242a; --line: #3a4149; --mark: ${ok ? '#7bd69a' : '#ff9c92'} }
}
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--back);
  color: var(--text); font: 1.0625rem/1.5 system-ui, sans-serif }
main { box-sizing: border-box; width: min(34rem, 100% - 2rem); margin: 1rem; padding: 1.5rem;
  background: var(--card); border-top: .3rem solid var(--mark); border-radius: .5rem;
  overflow-wrap: anywhere }
h1 { margin: 0 0 .75rem; font-size: 1.375rem; color: var(--mark) }
h1, p { text-wrap: pretty }
p { margin: .5rem 0 0 }
section { margin-top: 1rem; padding-top: .5rem; border-top: 1px solid var(--line) }
</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${paragraphs(text)}
<section>
${paragraphs(next)}
</section>
</main>
</body>
</html>
`
}

function paragraphs(lines: string): string {
  return lines
    .split('\n')
    .map((text) => `<p>${escapeHtml(text)}</p>`)
    .join('\n')
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}
