/**
 * The person at the browser: follows redirects, keeps cookies, and presses the button of each page,
 * until a page has none. That is xoauthd's own, at the loopback address where `login` waits.
 */

/** A sign-in with two pages takes some ten redirects; more are a circle. */
const mostPages = 20

/** @returns the titles of the pages seen, the last one xoauthd's */
export async function signInWithBrowser(start: string): Promise<string[]> {
  const cookies = new Map<string, string>()
  const titles: string[] = []
  let url = new URL(start)
  let method = 'GET'
  for (let page = 0; page < mostPages; page++) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, { method, headers: { cookie }, redirect: 'manual' })
    keepCookies(cookies, response.headers.getSetCookie())
    const html = await response.text()
    const location = response.headers.get('location')
    method = 'GET'
    if (location !== null) {
      url = new URL(location, url)
      continue
    }
    const title = /<title>([^<]*)/.exec(html)?.[1] ?? html
    if (!response.ok) throw new Error(`${url.host} shows the browser: ${title}`)
    titles.push(title)
    if (!html.includes('<form')) return titles
    method = 'POST'
  }
  throw new Error(`the sign-in goes round in circles at ${url.host}`)
}

/** One server sets them all, and takes one away by setting it empty: names and values will do. */
function keepCookies(cookies: Map<string, string>, received: readonly string[]): void {
  for (const line of received) {
    const [, name, value] = /^([^=]+)=([^;]*)/.exec(line) ?? []
    if (name === undefined) continue
    if (value === undefined || value === '') cookies.delete(name)
    else cookies.set(name, value)
  }
}
