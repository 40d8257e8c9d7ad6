/**
 * The page that a sign-in ends at, in a real browser: a real `login`, a real server, and what the person
 * then has before their eyes. The pictures of it are left in `.tap/pages`.
 */
import t, { type Test } from 'tap'
import type { Page } from 'playwright-core'
import { startAuthorizationServer } from './fixtures/authorization-server.ts'
import {
  chromiumProgram,
  contrastOf,
  lookAt,
  schemes,
  startChromium,
  widths,
} from './fixtures/chromium.ts'
import { createHome } from './fixtures/daemon.ts'
import { needs } from './fixtures/installed.ts'
import { startLogin } from './fixtures/person.ts'
import { accountAt } from './fixtures/signed-in.ts'

const me = 'me@issuer.example'
/** WCAG 2.1, level AA, of text in its usual size. */
const leastContrast = 4.5

interface Wanted {
  readonly status: number
  readonly title: string
  /** The paragraphs below the title. */
  readonly text: readonly (string | RegExp)[]
}

void t.test('contrast is counted as WCAG does', (t) => {
  t.equal(contrastOf('rgb(0, 0, 0)', 'rgb(255, 255, 255)'), 21)
  t.equal(contrastOf('rgb(255, 255, 255)', 'rgb(119, 119, 119)').toFixed(2), '4.48')
  t.throws(() => contrastOf('rgba(0, 0, 0, 0.5)', 'rgb(0, 0, 0)'), /cannot be judged/)
  t.end()
})

void t.test('in Chromium', needs(...chromiumProgram), async (t) => {
  const server = await startAuthorizationServer()
  const chromium = await startChromium()
  const { browser } = chromium
  t.teardown(async () => {
    await chromium.close()
    await server.close()
  })

  /** A page with scripts or without, which keeps what is wrong with it in the browser's eyes. */
  async function openPage(t: Test, javaScriptEnabled: boolean) {
    const context = await browser.newContext({ javaScriptEnabled })
    t.teardown(() => context.close())
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('console', (message) => complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(error.message))
    return { page, complaints }
  }

  /** Signs in through the page and looks at where it ends. */
  async function signIn(t: Test, page: Page, name: string, wanted: Wanted): Promise<number | null> {
    const home = createHome(accountAt(server, me))
    t.teardown(() => home.remove())
    const { login, url } = await startLogin(home, me)
    await meets(t, page, url.href, name, wanted)
    return login.ended
  }

  async function meets(t: Test, page: Page, url: string, name: string, wanted: Wanted) {
    const response = await page.goto(url)
    t.equal(response?.status(), wanted.status, name)
    t.equal(await page.title(), `${wanted.title} – xoauthd`)
    t.same(await page.getByRole('heading', { level: 1 }).allInnerTexts(), [wanted.title])
    t.match(await page.getByRole('paragraph').allInnerTexts(), wanted.text)
    t.equal(await page.locator('html').getAttribute('lang'), 'en')
    t.equal(await page.locator('script, link, img, iframe').count(), 0, 'it is all there is')
    const sights = await lookAt(page, name)
    t.equal(sights.length, schemes.length * widths.length)
    for (const { scheme, width, overflow, contrast } of sights) {
      t.equal(overflow, 0, `${name}, ${scheme}, ${width} px: nothing to scroll to`)
      t.ok(contrast >= leastContrast, `${name}, ${scheme}: contrast ${contrast.toFixed(1)}`)
    }
    const backgrounds = new Map(sights.map(({ scheme, background }) => [scheme, background]))
    t.not(backgrounds.get('light'), backgrounds.get('dark'), 'there is a light and a dark one')
  }

  for (const scripts of [true, false])
    await t.test(scripts ? 'with scripts' : 'without scripts', async (t) => {
      const { page, complaints } = await openPage(t, scripts)
      const words = scripts ? '' : '-without-scripts'
      const { behaviour } = server

      await t.test('signed in', async (t) => {
        const code = await signIn(t, page, `signed-in${words}`, {
          status: 200,
          title: 'Signed in',
          text: [
            `xoauthd is signed in as ${me} for smtp and imap.`,
            'You can close this page. The terminal says what is next.',
          ],
        })
        t.equal(code, 0)
      })

      await t.test('as somebody else', async (t) => {
        behaviour.signsInAs = 'somebody.with.a.rather.long.name@another-department.issuer.example'
        const code = await signIn(t, page, `somebody-else${words}`, {
          status: 400,
          title: 'Not signed in',
          text: [
            `${behaviour.signsInAs} signed in, but this account is ${me}.`,
            `Sign in again and choose ${me}; a private browser window helps.`,
            `To try again, run: xoauthd login ${me}`,
          ],
        })
        behaviour.signsInAs = undefined
        t.equal(code, 77)
      })

      await t.test('the person said no', async (t) => {
        const description = `You said <b>no</b> & ${'w'.repeat(200)}`
        const overlay = {
          code: undefined,
          error: 'access_denied',
          error_description: description,
        }
        server.fault({ endpoint: 'authorize', answer: { overlay } })
        const code = await signIn(t, page, `refused${words}`, {
          status: 400,
          title: 'Not signed in',
          text: [
            /^Consent was refused \(.*"access_denied": You said <b>no<\/b> & w{50}w*…\)\.$/,
            'Sign in again and agree to what is asked for.',
            `To try again, run: xoauthd login ${me}`,
          ],
        })
        t.equal(code, 77)
      })

      await t.test('an answer to another sign-in, and what is no answer', async (t) => {
        const home = createHome(accountAt(server, me))
        t.teardown(() => home.remove())
        const { login, consent } = await startLogin(home, me)
        const answer = await consent()
        const foreign = new URL(answer)
        foreign.searchParams.set('state', 'of-somebody-else')
        await meets(t, page, foreign.href, `not-this-one${words}`, {
          status: 400,
          title: 'Not this one',
          text: [/does not belong to the sign-in/, /^Go back to the terminal/],
        })
        await meets(t, page, `${answer.origin}/elsewhere`, `nothing-here${words}`, {
          status: 404,
          title: 'Nothing here',
          text: [/waits for the end of a sign-in/, /address in the terminal/],
        })
        await page.goto(answer.href)
        t.equal(await page.title(), 'Signed in – xoauthd', 'the right one is taken all the same')
        t.equal(await login.ended, 0)
      })

      // The browser itself tells of each page that did not answer with 200.
      t.same(
        complaints.filter((text) => !/^Failed to load resource: .* status of 40[04]/.test(text)),
        [],
      )
    })
})
